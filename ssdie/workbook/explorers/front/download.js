// A button that requests a file from the kernel and saves it in the browser.
function render({ model, el }) {
  const button = document.createElement("button");
  button.className = "jupyter-widgets jupyter-button widget-button ssdie-download";
  const name = () => { button.textContent = model.get("description"); button.disabled = model.get("busy"); };
  button.addEventListener("click", () => model.send("requested"));
  const save = (file, buffers) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([buffers[0]], { type: file.type }));
    link.download = file.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  model.on("change", name);
  model.on("msg:custom", save);
  name();
  el.append(button);
  return () => { model.off("change", name); model.off("msg:custom", save); };
}
export default { render };
