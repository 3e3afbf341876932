// Two pictures on top of each other with a divider. An invisible range input lies over them: pointer and keys come from the browser.
function render({ model, el }) {
  el.classList.add("ssdie");
  el.innerHTML = `
    <div class="ssdie-compare">
      <img class="before" draggable="false"><img class="after" draggable="false">
      <input type="range" min="0" max="1" step="0.005">
      <div class="line"><div class="handle"></div></div>
      <span class="tag left"></span><span class="tag right"></span>
    </div>`;
  const find = (name) => el.querySelector(name);
  const [range, after, line] = ["input", ".after", ".line"].map(find);
  const urls = {};

  const place = () => {
    const share = model.get("divider");
    range.value = share;
    after.style.clipPath = `inset(0 0 0 ${100 * share}%)`;
    line.style.left = `${100 * share}%`;
  };
  const show = (name) => {
    const old = urls[name];
    urls[name] = URL.createObjectURL(new Blob([model.get(name)], { type: "image/jpeg" }));
    find(`.${name}`).src = urls[name];
    if (old) setTimeout(() => URL.revokeObjectURL(old), 1000);
  };
  const name = () => {
    const [left, right] = model.get("labels");
    find(".tag.left").textContent = left;
    find(".tag.right").textContent = right;
    find(".before").alt = left;
    after.alt = right;
    range.setAttribute("aria-label", `divider between ${left} and ${right}`);
  };

  let resting = model.get("divider"), pressed = 0;
  range.addEventListener("pointerdown", (event) => {
    if (event.timeStamp - pressed > 500) resting = model.get("divider");
    pressed = event.timeStamp;
  });
  range.addEventListener("input", () => {
    model.set("divider", Number(range.value));
    model.save_changes();
  });
  range.addEventListener("dblclick", (event) => { // look closer here; the divider goes back to where it was
    const box = range.getBoundingClientRect();
    model.set("focus", [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]);
    model.set("divider", resting);
    model.save_changes();
  });
  const heard = { "change:divider": place, "change:labels": name,
    "change:before": () => show("before"), "change:after": () => show("after") };
  Object.entries(heard).forEach(([event, answer]) => { model.on(event, answer); answer(); });
  return () => {
    Object.entries(heard).forEach(([event, answer]) => model.off(event, answer));
    Object.values(urls).forEach((url) => URL.revokeObjectURL(url));
  };
}
export default { render };
