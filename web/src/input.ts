// Input of photos: file dialog, drag and drop, clipboard, camera, or the example.

import { byId } from "./dom";

export function receiveFiles(add: (files: File[]) => void): void {
  for (const [button, input] of [
    ["choose", "files"],
    ["add", "files"],
    ["camera", "shot"],
  ]) {
    byId(button).addEventListener("click", () => byId<HTMLInputElement>(input).click());
  }
  for (const id of ["files", "shot"]) {
    const input = byId<HTMLInputElement>(id);
    input.addEventListener("change", () => {
      add([...(input.files ?? [])]);
      input.value = ""; // so that the same photo can be chosen again
    });
  }
  byId("example").addEventListener("click", async () => {
    const response = await fetch(byId<HTMLImageElement>("example-before").src);
    add([new File([await response.blob()], "example.jpg", { type: "image/jpeg" })]);
  });
  window.addEventListener("paste", (event) => add([...(event.clipboardData?.files ?? [])]));
  receiveDrops(add);
}

function receiveDrops(add: (files: File[]) => void): void {
  const overlay = byId("overlay");
  let depth = 0; // number of elements entered and not yet left
  const carriesFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
  window.addEventListener("dragenter", (event) => {
    if (carriesFiles(event)) overlay.hidden = ++depth === 0;
  });
  window.addEventListener("dragleave", (event) => {
    if (carriesFiles(event)) overlay.hidden = --depth <= 0;
  });
  window.addEventListener("dragover", (event) => event.preventDefault());
  window.addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    overlay.hidden = true;
    add([...(event.dataTransfer?.files ?? [])]);
  });
}
