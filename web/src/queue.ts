// The chosen photos, and the strip of thumbnails.

import { byId, make } from "./dom";
import type { Repair } from "./renderer";

export type State = "waiting" | "working" | "done" | "refused";

/** A chosen file: a photo, or a file that is refused. */
export interface Item {
  file: File;
  state: State;
  message: string; // why it was refused
  repair: Repair | null;
  notes: string[];
  entry: HTMLLIElement;
}

const WORDS: Record<State, string> = {
  waiting: "waiting",
  working: "being repaired",
  done: "repaired",
  refused: "not repaired",
};

export class Queue {
  readonly items: Item[] = [];
  selected: Item | null = null;
  private readonly list = byId("photos");

  constructor(
    private readonly select: (item: Item) => void,
    private readonly remove: (item: Item) => void,
  ) {}

  add(file: File): Item {
    const item: Item = { file, state: "waiting", message: "", repair: null, notes: [], entry: make("li") };
    const button = make("button", { type: "button", className: "thumb", onclick: () => this.select(item) });
    const close = make("button", {
      type: "button",
      className: "close",
      textContent: "×",
      onclick: () => this.remove(item),
    });
    close.setAttribute("aria-label", `Remove ${file.name}`);
    button.addEventListener("keydown", (event) => {
      if (event.key === "Delete") this.remove(item);
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      const next = step && this.items[this.items.indexOf(item) + step];
      if (next) next.entry.querySelector<HTMLButtonElement>(".thumb")!.focus();
    });
    item.entry.append(button, close);
    this.items.push(item);
    this.list.append(item.entry);
    this.draw(item);
    return item;
  }

  drop(item: Item): void {
    this.items.splice(this.items.indexOf(item), 1);
    item.entry.remove();
  }

  /** Update the entry of an item in the strip. */
  draw(item: Item): void {
    const button = item.entry.querySelector<HTMLButtonElement>(".thumb")!;
    item.entry.dataset.state = item.state;
    button.setAttribute("aria-label", `${item.file.name}, ${WORDS[item.state]}`);
    button.setAttribute("aria-current", String(item === this.selected));
    button.title = item.file.name;
  }

  /** Show the thumbnail of a repaired photo in the strip. */
  picture(item: Item, thumbnail: ImageBitmap): void {
    const canvas = make("canvas", { width: thumbnail.width, height: thumbnail.height });
    canvas.getContext("bitmaprenderer")!.transferFromImageBitmap(thumbnail);
    item.entry.querySelector(".thumb")!.replaceChildren(canvas);
  }

  choose(item: Item | null): void {
    const before = this.selected;
    this.selected = item;
    if (before) this.draw(before);
    if (item) {
      this.draw(item);
      item.entry.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
  }

  /** The photo to repair next: the selected one first. */
  next(): Item | undefined {
    if (this.selected?.state === "waiting") return this.selected;
    return this.items.find((item) => item.state === "waiting");
  }

  done(): Item[] {
    return this.items.filter((item) => item.state === "done");
  }
}
