// Drawing of photos by WebGL 2: to the screen at any zoom, and to files pixel by pixel.

import type { Space } from "./color";
import type { Region } from "./reduce";
import { fragmentSource, VERTEX, type Variant } from "./shader";

const LARGEST_TILE = 4096; // pixels of a side; less where the largest texture is smaller
const MARGIN = 32; // overlap of neighboring tiles, pixels, so that their mipmaps agree at the border

/** The correction of a photo, and the region that it applies to. */
export interface Repair {
  width: number; // of the photo, upright
  height: number;
  maps: Float32Array; // 12 x rows x columns: 9 coefficients a[c, k] in the order c, k, then 3 offsets b[c]
  columns: number;
  rows: number;
  scene: Region;
  gray: boolean;
  weight: number;
  space: Space | null;
  hasAlpha: boolean;
  dust: number | null;
}

export interface View {
  scale: number; // canvas pixels for each pixel of the photo
  left: number; // of the photo, canvas pixels
  top: number;
  divider: number; // canvas pixels; the original photo is left of it
  strength: number;
}

interface Tile {
  texture: WebGLTexture;
  core: number[]; // left, top, right, bottom
  frame: number[]; // left, top, width, height of the texture
}

export class Renderer {
  private readonly gl: WebGL2RenderingContext;
  private program: WebGLProgram;
  private readonly programs = new Map<string, WebGLProgram>();
  private tiles: Tile[] = [];
  private textures: WebGLTexture[] = [];
  private hasAlpha = false;
  readonly largestTile: number;

  /**
   * @param screen true: display in sRGB with mipmaps; false: exact pixels in the photo's own color space, for a file.
   */
  constructor(
    readonly canvas: HTMLCanvasElement | OffscreenCanvas,
    private readonly screen: boolean,
  ) {
    const options = { alpha: true, premultipliedAlpha: screen, antialias: false, depth: false };
    const gl = canvas.getContext("webgl2", options) as WebGL2RenderingContext | null;
    if (!gl)
      throw new Error(
        "This browser does not support WebGL 2, which the repair needs. Update it, or switch on hardware acceleration.",
      );
    this.gl = gl;
    const limit = Number(gl.getParameter(gl.MAX_TEXTURE_SIZE));
    this.largestTile = Math.min(LARGEST_TILE, limit);
    this.program = this.use({ display: screen, gray: false, converts: false });
    gl.bindVertexArray(gl.createVertexArray());
  }

  /** Switch to the program of a variant, which is compiled when it is used first. */
  private use(variant: Variant): WebGLProgram {
    const key = JSON.stringify(variant);
    if (!this.programs.has(key)) this.programs.set(key, this.link(variant));
    this.program = this.programs.get(key)!;
    this.gl.useProgram(this.program);
    return this.program;
  }

  private link(variant: Variant): WebGLProgram {
    const { gl } = this;
    const sources = [
      [gl.VERTEX_SHADER, VERTEX],
      [gl.FRAGMENT_SHADER, fragmentSource(variant)],
    ] as const;
    const program = gl.createProgram();
    for (const [type, source] of sources) {
      const shader = gl.createShader(type)!;
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS) && !gl.isContextLost()) {
        throw new Error(gl.getShaderInfoLog(shader) ?? "the shader does not compile");
      }
    }
    gl.linkProgram(program);
    return program;
  }

  private uniform(name: string): WebGLUniformLocation | null {
    return this.gl.getUniformLocation(this.program, name);
  }

  /** Load a photo and its repair; the bitmap can be closed afterwards. */
  async load(bitmap: ImageBitmap, repair: Repair): Promise<void> {
    const { width, height } = repair;
    const step = this.largestTile - 2 * MARGIN;
    const single = width <= this.largestTile && height <= this.largestTile;
    const prepared: { core: number[]; frame: number[]; source: ImageBitmap }[] = [];
    for (let top = 0; top < height; top += single ? height : step) {
      for (let left = 0; left < width; left += single ? width : step) {
        const right = single ? width : Math.min(width, left + step);
        const bottom = single ? height : Math.min(height, top + step);
        const [x, y] = [Math.max(0, left - MARGIN), Math.max(0, top - MARGIN)];
        const frame = [x, y, Math.min(width, right + MARGIN) - x, Math.min(height, bottom + MARGIN) - y];
        const keep = { premultiplyAlpha: "none", colorSpaceConversion: "none" } as const;
        const source = single
          ? bitmap
          : await createImageBitmap(bitmap, frame[0], frame[1], frame[2], frame[3], keep);
        prepared.push({ core: [left, top, right, bottom], frame, source });
      }
    }
    this.clear();
    this.hasAlpha = repair.hasAlpha;
    this.tiles = prepared.map(({ core, frame, source }) => {
      const texture = this.upload(source);
      if (source !== bitmap) source.close();
      return { texture, core, frame };
    });
    this.uploadRepair(repair);
  }

  private upload(source: ImageBitmap): WebGLTexture {
    const { gl } = this;
    const texture = this.createTexture(0, gl.TEXTURE_2D, this.screen ? gl.LINEAR : gl.NEAREST);
    // The bitmap already has the right color space and alpha, so WebGL must not convert it.
    gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
    gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, source);
    if (this.screen) {
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
      gl.generateMipmap(gl.TEXTURE_2D);
    }
    return texture;
  }

  private createTexture(unit: number, target: number, filter: number): WebGLTexture {
    const { gl } = this;
    const texture = gl.createTexture();
    this.textures.push(texture);
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(target, texture);
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(target, name, filter);
    for (const name of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(target, name, gl.CLAMP_TO_EDGE);
    return texture;
  }

  private uploadRepair(repair: Repair): void {
    const { gl } = this;
    const { columns, rows, maps, scene, space } = repair;
    const cells = columns * rows;
    this.use({ display: this.screen, gray: repair.gray, converts: space !== null });
    const layers = new Float32Array(3 * cells * 4);
    for (let c = 0; c < 3; c++) {
      for (let n = 0; n < cells; n++) {
        for (let k = 0; k < 3; k++) layers[4 * (c * cells + n) + k] = maps[(3 * c + k) * cells + n];
        layers[4 * (c * cells + n) + 3] = maps[(9 + c) * cells + n];
      }
    }
    this.createTexture(1, gl.TEXTURE_2D_ARRAY, this.screen ? gl.LINEAR : gl.NEAREST);
    const format = this.screen ? gl.RGBA16F : gl.RGBA32F;
    gl.texImage3D(gl.TEXTURE_2D_ARRAY, 0, format, columns, rows, 3, 0, gl.RGBA, gl.FLOAT, layers);
    for (const [unit, values] of [
      [2, space?.decode],
      [3, space?.encode],
    ] as const) {
      this.createTexture(unit, gl.TEXTURE_2D, gl.NEAREST);
      const curves = values ?? new Float32Array(3);
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.R32F, curves.length / 3, 3, 0, gl.RED, gl.FLOAT, curves);
    }
    ["u_photo", "u_maps", "u_decode", "u_encode"].forEach((name, unit) => gl.uniform1i(this.uniform(name), unit));
    gl.uniform4f(this.uniform("u_scene"), scene.left, scene.top, scene.width, scene.height);
    gl.uniform1f(this.uniform("u_weight"), repair.weight);
    const identity = [1, 0, 0, 0, 1, 0, 0, 0, 1];
    gl.uniformMatrix3fv(this.uniform("u_to_srgb"), true, space?.toSrgb ?? identity);
    gl.uniformMatrix3fv(this.uniform("u_from_srgb"), true, space?.fromSrgb ?? identity);
  }

  /** Draw the loaded photo to the whole canvas. */
  draw(view: View): void {
    const { gl, canvas } = this;
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    if (this.screen && this.hasAlpha) {
      gl.enable(gl.BLEND);
      gl.blendFuncSeparate(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA, gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    } else gl.disable(gl.BLEND);
    gl.uniform1f(this.uniform("u_strength"), view.strength);
    gl.uniform1f(this.uniform("u_divider"), view.divider);
    const [x, y] = [2 / canvas.width, 2 / canvas.height];
    gl.uniform4f(this.uniform("u_view"), x * view.scale, -y * view.scale, x * view.left - 1, 1 - y * view.top);
    gl.activeTexture(gl.TEXTURE0);
    for (const tile of this.tiles) {
      gl.bindTexture(gl.TEXTURE_2D, tile.texture);
      gl.uniform4fv(this.uniform("u_core"), tile.core);
      gl.uniform4fv(this.uniform("u_tile"), tile.frame);
      gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    }
  }

  /** Free the loaded photo. */
  clear(): void {
    for (const texture of this.textures) this.gl.deleteTexture(texture);
    this.textures = [];
    this.tiles = [];
  }
}
