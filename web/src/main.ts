// The page: adds photos, repairs them one after the other, displays and saves them.

import { Client, Refused } from "./client";
import { byId, download } from "./dom";
import { automaticStrength, describeDust } from "./dust";
import { copyName } from "./files/kinds";
import { receiveFiles } from "./input";
import { refuseTooLarge } from "./limits";
import { keepOffline } from "./offline";
import { Queue, type Item } from "./queue";
import { Viewer } from "./viewer";
import { zip } from "./zip";

const strength = byId<HTMLInputElement>("strength");
const queue = new Queue((item) => void select(item), remove);
const client = new Client(showProgress);
let viewer: Viewer;
let automatic = true; // the strength follows the dust score
let ready: Promise<void>;
let running = false;

function begin(): void {
  ready = client.start();
  ready.then(
    () => (byId("loading").hidden = true),
    (error: Error) => {
      byId("loading-text").textContent =
        `The network cannot be loaded: ${error.message} Reload the page to try again.`;
      byId("progress").hidden = true;
    },
  );
  try {
    viewer = new Viewer(() => queue.selected && void select(queue.selected));
  } catch (error) {
    byId("loading-text").textContent = (error as Error).message;
    return;
  }
  receiveFiles(add);
  strength.addEventListener("input", () => setAutomatic(false));
  byId("automatic").addEventListener("click", () => setAutomatic(!automatic));
  byId("save").addEventListener("click", () => queue.selected && void saveOne(queue.selected));
  byId("save-all").addEventListener("click", () => void saveAll());
  keepOffline();
}

function showProgress(loaded: number, total: number): void {
  byId<HTMLProgressElement>("progress").value = loaded / total;
  const [some, all] = [loaded, total].map((bytes) => (bytes / 1e6).toFixed(0));
  byId("loading-text").textContent = loaded < total ? `Getting ready: ${some} of ${all} MB` : "Getting ready…";
}

function add(files: File[]): void {
  if (files.length === 0) return;
  const items = files.map((file) => queue.add(file));
  byId("welcome").hidden = true;
  byId("work").hidden = byId("add").hidden = false;
  document.body.dataset.photos = queue.items.length > 1 ? "many" : "one";
  if (!queue.selected || queue.selected.state === "refused") void select(items[0]);
  void work();
}

/** Repair the waiting photos, one after the other. */
async function work(): Promise<void> {
  if (running) return;
  running = true;
  for (let item = queue.next(); item; item = queue.next()) await repair(item);
  running = false;
}

async function repair(item: Item): Promise<void> {
  change(item, "working");
  try {
    await ready;
    const refusal = await refuseTooLarge(item.file);
    if (refusal) throw new Refused(refusal);
    const { repair: found, notes, thumbnail, bitmap } = await client.analyze(item.file, item.file.name);
    Object.assign(item, { repair: found, notes });
    queue.picture(item, thumbnail);
    if (queue.selected === item) await viewer.show(bitmap, found, item.file.name);
    else bitmap.close();
    change(item, "done");
  } catch (error) {
    item.message = explain(error);
    change(item, "refused");
  }
}

function explain(error: unknown): string {
  if (error instanceof Refused) return error.message;
  const remedy = "Reload the page, or use the command line: ssdie enhance";
  return `This photo cannot be repaired: ${(error as Error).message} ${remedy}`;
}

function change(item: Item, state: Item["state"]): void {
  item.state = state;
  queue.draw(item);
  if (item === queue.selected) describe();
  byId("save-all").hidden = queue.items.length < 2;
  byId<HTMLButtonElement>("save-all").disabled = queue.done().length === 0;
}

async function select(item: Item): Promise<void> {
  queue.choose(item);
  describe();
  viewer.clear();
  if (item.state !== "done") return;
  try {
    const bitmap = await client.open(item.file, item.file.name);
    if (queue.selected === item) await viewer.show(bitmap, item.repair!, item.file.name);
    else bitmap.close();
  } catch (error) {
    item.message = explain(error);
    change(item, "refused");
  }
}

function remove(item: Item): void {
  const index = queue.items.indexOf(item);
  queue.drop(item);
  const next = queue.items[Math.min(index, queue.items.length - 1)];
  if (queue.selected === item) {
    queue.choose(null);
    if (next) void select(next);
  }
  document.body.dataset.photos = queue.items.length > 1 ? "many" : "one";
  byId("save-all").hidden = queue.items.length < 2;
  next?.entry.querySelector<HTMLButtonElement>(".thumb")?.focus();
  if (next) return;
  viewer.clear();
  byId("welcome").hidden = false;
  byId("work").hidden = byId("add").hidden = true;
}

/** Strength for a photo: the value of the slider, or the automatic one from its dust score. */
function strengthOf(item: Item): number {
  if (!automatic) return Number(strength.value) / 100;
  const dust = item.repair?.dust ?? null;
  return dust === null ? 1 : automaticStrength(dust);
}

function setAutomatic(on: boolean): void {
  automatic = on;
  describe();
}

/** Show the state of the selected photo, and enable its controls. */
function describe(): void {
  const item = queue.selected;
  if (!item) return;
  const done = item.state === "done";
  const value = strengthOf(item);
  const percent = `${Math.round(100 * value)} %`;
  byId("name").textContent = item.file.name;
  byId("message").hidden = done;
  byId("message").dataset.state = item.state;
  byId("message-text").textContent = item.state === "refused" ? item.message : "Repairing…";
  const words = done ? [describeDust(item.repair!.dust, value * item.repair!.weight), ...item.notes] : [];
  byId("status").textContent = item.state === "refused" ? "Not repaired" : words.join(". ").replaceAll("..", ".");
  strength.value = String(Math.round(100 * value));
  strength.disabled = byId<HTMLButtonElement>("save").disabled = !done;
  strength.setAttribute("aria-valuetext", percent);
  byId("strength-value").textContent = percent;
  byId("automatic").hidden = item.repair?.dust == null;
  byId("automatic").setAttribute("aria-pressed", String(automatic));
  viewer.setStrength(value);
}

async function encode(item: Item): Promise<{ name: string; content: Blob }> {
  const lossless = byId<HTMLSelectElement>("format").value === "png";
  const { file, repair: found } = item;
  const { content, kind, notes } = await client.save(file, file.name, found!, strengthOf(item), lossless);
  item.notes = [...new Set([...item.notes, ...notes])];
  return { name: copyName(file.name, kind), content };
}

async function saveOne(item: Item): Promise<void> {
  await busy("save", async () => {
    const { name, content } = await encode(item);
    download(content, name);
    describe();
  });
}

async function saveAll(): Promise<void> {
  await busy("save-all", async () => {
    const items = queue.done();
    const progress = (count: number) => (byId("status").textContent = `Saving ${count} of ${items.length}…`);
    download(await zip(items, encode, progress), "repaired.zip");
    describe();
  });
}

/** Run a task of a button, which is disabled meanwhile. */
async function busy(id: string, task: () => Promise<void>): Promise<void> {
  const button = byId<HTMLButtonElement>(id);
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  byId("status").textContent = "Saving…";
  try {
    await task();
  } catch (error) {
    byId("status").textContent = `The copy cannot be saved: ${(error as Error).message}`;
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
  }
}

begin();
