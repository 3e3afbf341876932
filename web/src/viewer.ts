// The stage: a photo before and after the repair, with a divider, zoom, pan and pinch.

import { byId } from "./dom";
import { confine, fit, fitScale, visible, zoomAt, type Placement, type Size } from "./geometry";
import { Renderer, type Repair } from "./renderer";

const STEP = 1; // per cent of the divider for an arrow key
const DRAG = 3; // pixels that a pointer moves before dragging starts

export class Viewer {
  private readonly stage = byId("stage");
  private readonly canvas = byId<HTMLCanvasElement>("canvas");
  private readonly handle = byId("divider");
  private renderer: Renderer;
  private photo: Size | null = null;
  private placement: Placement = { scale: 1, left: 0, top: 0 };
  private fitted = true;
  private divider = 0.5; // position as a fraction of the visible part of the photo
  private strength = 1;
  private drawing = 0;
  private readonly pointers = new Map<number, { x: number; y: number }>();
  private moves: "divider" | "photo" | null = null;
  private started = { x: 0, y: 0 };

  constructor(private readonly reload: () => void) {
    this.renderer = new Renderer(this.canvas, true);
    new ResizeObserver(() => this.resize()).observe(this.stage);
    this.canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    this.canvas.addEventListener("webglcontextrestored", () => {
      this.renderer = new Renderer(this.canvas, true);
      this.photo = null;
      this.reload();
    });
    this.listen();
  }

  /** Show a photo; closes the bitmap. */
  async show(bitmap: ImageBitmap, repair: Repair, name: string): Promise<void> {
    await this.renderer.load(bitmap, repair);
    bitmap.close();
    this.photo = { width: repair.width, height: repair.height };
    this.fitted = true;
    this.canvas.setAttribute("aria-label", `${name}, before and after its repair`);
    this.resize();
  }

  /** Show nothing. */
  clear(): void {
    this.renderer.clear();
    this.photo = null;
    this.update();
  }

  setStrength(strength: number): void {
    this.strength = strength;
    this.update();
  }

  private size(): Size {
    return { width: this.canvas.width, height: this.canvas.height };
  }

  private resize(): void {
    const ratio = window.devicePixelRatio;
    const [width, height] = [this.stage.clientWidth, this.stage.clientHeight].map((v) =>
      Math.max(1, Math.round(v * ratio)),
    );
    if (this.canvas.width !== width || this.canvas.height !== height)
      [this.canvas.width, this.canvas.height] = [width, height];
    if (this.photo)
      this.placement = this.fitted ? fit(this.photo, this.size()) : confine(this.placement, this.photo, this.size());
    this.update();
  }

  private update(): void {
    this.drawing ||= requestAnimationFrame(() => {
      this.drawing = 0;
      this.draw();
    });
  }

  private draw(): void {
    this.stage.toggleAttribute("data-empty", !this.photo);
    if (!this.photo) {
      this.renderer.draw({ ...this.placement, divider: 0, strength: 0 });
      return;
    }
    const [left, top, right, bottom] = visible(this.placement, this.photo, this.size());
    const at = Math.round(left + this.divider * (right - left));
    this.renderer.draw({ ...this.placement, divider: at, strength: this.strength });
    const ratio = window.devicePixelRatio;
    const { style } = this.stage;
    for (const [name, value] of Object.entries({ left, top, right, bottom, at }))
      style.setProperty(`--${name}`, `${value / ratio}px`);
    const percent = Math.round(100 * this.divider);
    this.handle.setAttribute("aria-valuenow", String(percent));
    this.handle.setAttribute("aria-valuetext", `${percent} % before, ${100 - percent} % after`);
    const near = (at - left) / ratio;
    this.stage.toggleAttribute("data-no-before", near < 80);
    this.stage.toggleAttribute("data-no-after", (right - left) / ratio - near < 80);
    byId("zoom-fit").setAttribute("aria-pressed", String(this.fitted));
    byId("zoom-full").setAttribute("aria-pressed", String(this.placement.scale === 1));
  }

  private moveDivider(fraction: number): void {
    this.divider = Math.min(1, Math.max(0, fraction));
    this.update();
  }

  /** Zoom to a scale, at a point in pixels of the canvas; the middle by default. */
  private zoom(scale: number, x = this.canvas.width / 2, y = this.canvas.height / 2): void {
    if (!this.photo) return;
    this.placement = zoomAt(this.placement, scale, x, y, this.photo, this.size());
    this.fitted = Math.abs(this.placement.scale / fitScale(this.photo, this.size()) - 1) < 0.001;
    this.update();
  }

  private zoomToFit(): void {
    if (this.photo) this.zoom(fitScale(this.photo, this.size()));
  }

  private pan(x: number, y: number): void {
    if (!this.photo) return;
    const placement = { ...this.placement, left: this.placement.left + x, top: this.placement.top + y };
    this.placement = confine(placement, this.photo, this.size());
    this.update();
  }

  private listen(): void {
    const { canvas, handle } = this;
    for (const target of [canvas, handle]) {
      target.addEventListener("pointerdown", (event) => this.press(event));
      target.addEventListener("pointermove", (event) => this.move(event));
      for (const type of ["pointerup", "pointercancel"] as const)
        target.addEventListener(type, (event) => this.release(event));
    }
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const [x, y] = this.point(event);
        this.zoom(this.placement.scale * Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), x, y);
      },
      { passive: false },
    );
    canvas.addEventListener("dblclick", (event) => {
      if (this.fitted) this.zoom(1, ...this.point(event));
      else this.zoomToFit();
    });
    byId("zoom-in").addEventListener("click", () => this.zoom(this.placement.scale * 1.5));
    byId("zoom-out").addEventListener("click", () => this.zoom(this.placement.scale / 1.5));
    byId("zoom-fit").addEventListener("click", () => this.zoomToFit());
    byId("zoom-full").addEventListener("click", () => this.zoom(1));
    handle.addEventListener("keydown", (event) => this.dividerKey(event));
    canvas.addEventListener("keydown", (event) => this.photoKey(event));
  }

  private point(event: MouseEvent): [number, number] {
    const box = this.canvas.getBoundingClientRect();
    const ratio = window.devicePixelRatio;
    return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
  }

  private press(event: PointerEvent): void {
    if (!this.photo || event.button > 0) return;
    (event.currentTarget as Element).setPointerCapture(event.pointerId);
    const [x, y] = this.point(event);
    this.pointers.set(event.pointerId, { x, y });
    this.started = { x, y };
    // A photo that is visible as a whole cannot be panned: dragging anywhere moves the divider.
    this.moves = event.currentTarget === this.handle || this.fitted ? "divider" : "photo";
    if (event.currentTarget === this.handle) this.started = { x: Infinity, y: 0 };
  }

  private move(event: PointerEvent): void {
    const before = this.pointers.get(event.pointerId);
    if (!before || !this.photo) return;
    const [x, y] = this.point(event);
    if (this.pointers.size === 2) {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)![1];
      const ratio =
        Math.hypot(x - other.x, y - other.y) / Math.max(1, Math.hypot(before.x - other.x, before.y - other.y));
      this.zoom(this.placement.scale * ratio, (x + other.x) / 2, (y + other.y) / 2);
      this.pan((x - before.x) / 2, (y - before.y) / 2);
      this.moves = null;
    } else if (this.moves === "photo") {
      this.pan(x - before.x, y - before.y);
    } else if (this.moves === "divider" && Math.abs(x - this.started.x) > DRAG) {
      const [left, , right] = visible(this.placement, this.photo, this.size());
      this.moveDivider((x - left) / (right - left));
    }
    this.pointers.set(event.pointerId, { x, y });
  }

  private release(event: PointerEvent): void {
    this.pointers.delete(event.pointerId);
    if (this.pointers.size === 0) this.moves = null;
  }

  private dividerKey(event: KeyboardEvent): void {
    const step = (STEP / 100) * (event.shiftKey ? 10 : 1);
    const moved: Record<string, number> = {
      ArrowLeft: this.divider - step,
      ArrowDown: this.divider - step,
      ArrowRight: this.divider + step,
      ArrowUp: this.divider + step,
      PageDown: this.divider - 0.1,
      PageUp: this.divider + 0.1,
      Home: 0,
      End: 1,
    };
    if (!(event.key in moved)) return;
    event.preventDefault();
    this.moveDivider(moved[event.key]);
  }

  private photoKey(event: KeyboardEvent): void {
    const step = 0.1 * this.canvas.width;
    const actions: Record<string, () => void> = {
      "+": () => this.zoom(this.placement.scale * 1.5),
      "=": () => this.zoom(this.placement.scale * 1.5),
      "-": () => this.zoom(this.placement.scale / 1.5),
      "0": () => this.zoomToFit(),
      "1": () => this.zoom(1),
      ArrowLeft: () => this.pan(step, 0),
      ArrowRight: () => this.pan(-step, 0),
      ArrowUp: () => this.pan(0, step),
      ArrowDown: () => this.pan(0, -step),
    };
    if (event.ctrlKey || event.metaKey || !(event.key in actions)) return;
    event.preventDefault();
    actions[event.key]();
  }
}
