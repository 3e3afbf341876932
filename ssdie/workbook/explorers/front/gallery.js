// A row of thumbnails to choose from; each is a button.
function render({ model, el }) {
  el.classList.add("ssdie");
  const row = document.createElement("div");
  row.className = "ssdie-gallery";
  row.setAttribute("role", "group");
  row.setAttribute("aria-label", "photos");
  el.append(row);
  let urls = [];

  const mark = () => [...row.children].forEach((button) =>
    button.setAttribute("aria-pressed", button.title === model.get("value")));
  const draw = () => {
    urls.forEach((url) => URL.revokeObjectURL(url));
    urls = model.get("pictures").map((bytes) => URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" })));
    row.replaceChildren(...model.get("names").map((name, k) => {
      const button = document.createElement("button"), picture = document.createElement("img");
      button.title = name;
      picture.src = urls[k];
      picture.alt = name;
      button.append(picture);
      button.addEventListener("click", () => { model.set("value", name); model.save_changes(); });
      return button;
    }));
    mark();
  };
  model.on("change:pictures", draw);
  model.on("change:value", mark);
  draw();
  return () => {
    model.off("change:pictures", draw);
    model.off("change:value", mark);
    urls.forEach((url) => URL.revokeObjectURL(url));
  };
}
export default { render };
