// A button that asks the kernel for a file and hands it to the browser.
function render({ model, el }) {
  const button = document.createElement("button");
  button.className = "jupyter-widgets jupyter-button widget-button ssdie-download";
  const name = () => { button.textContent = model.get("description"); button.disabled = model.get("busy"); };
  button.addEventListener("click", () => model.send("wanted"));
  const take = (file, buffers) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([buffers[0]], { type: file.type }));
    link.download = file.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  model.on("change", name);
  model.on("msg:custom", take);
  name();
  el.append(button);
  return () => { model.off("change", name); model.off("msg:custom", take); };
}
export default { render };
