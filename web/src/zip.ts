// All repaired photos in one file.

import { downloadZip } from "client-zip";
import type { Item } from "./queue";

type Encode = (item: Item) => Promise<{ name: string; content: Blob }>;

/** Encode photos one after the other into a zip. */
export function zip(items: Item[], encode: Encode, progress: (count: number) => void): Promise<Blob> {
  const names = new Set<string>();
  async function* entries() {
    let count = 0;
    for (const item of items) {
      progress(++count);
      const { name, content } = await encode(item);
      yield { name: unique(name, names), lastModified: new Date(item.file.lastModified), input: content };
    }
  }
  return downloadZip(entries()).blob();
}

function unique(name: string, names: Set<string>): string {
  const [, stem, suffix] = /^(.*?)(\.[^.]*)?$/.exec(name)!;
  let found = name;
  for (let n = 2; names.has(found.toLowerCase()); n++) found = `${stem} (${n})${suffix ?? ""}`;
  names.add(found.toLowerCase());
  return found;
}
