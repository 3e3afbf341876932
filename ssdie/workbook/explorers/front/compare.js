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
    const position = model.get("divider");
    range.value = position;
    after.style.clipPath = `inset(0 0 0 ${100 * position}%)`;
    line.style.left = `${100 * position}%`;
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
  range.addEventListener("dblclick", (event) => { // zoom in here; restore the divider, which the clicks have moved
    const box = range.getBoundingClientRect();
    model.set("focus", [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]);
    model.set("divider", resting);
    model.save_changes();
  });
  const handlers = { "change:divider": place, "change:labels": name,
    "change:before": () => show("before"), "change:after": () => show("after") };
  Object.entries(handlers).forEach(([event, handler]) => { model.on(event, handler); handler(); });
  return () => {
    Object.entries(handlers).forEach(([event, handler]) => model.off(event, handler));
    Object.values(urls).forEach((url) => URL.revokeObjectURL(url));
  };
}
export default { render };
