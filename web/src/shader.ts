// The repair of one pixel, in GLSL: affine color maps, interpolated bilinearly. Mirrors
// `ssdie.enhancement.correction.apply_correction` and `ssdie.photo.scene.enhance_scene`. Properties that differ
// between photos select a program at compile time: WebGL in software computes both sides of every branch.

/** Variant of the shader program. */
export interface Variant {
  display: boolean; // for the screen: output in sRGB, maps interpolated by the texture unit of the GPU
  gray: boolean;
  converts: boolean; // the photo has a color space of its own
}

export function fragmentSource({ display, gray, converts }: Variant): string {
  const flags = { DISPLAY: display, GRAY: gray, CONVERTS: converts };
  const lines = Object.entries(flags).map(([name, on]) => `#define ${name} ${Number(on)}`);
  return `#version 300 es\n${lines.join("\n")}\n${FRAGMENT}`;
}

export const VERTEX = `#version 300 es
uniform vec4 u_core; // of the tile, in pixels of the photo: left, top, right, bottom
uniform vec4 u_view; // clip = scale * photo + shift
out vec2 v_position;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  v_position = mix(u_core.xy, u_core.zw, corner);
  gl_Position = vec4(v_position * u_view.xy + u_view.zw, 0.0, 1.0);
}`;

const FRAGMENT = `
precision highp float;
precision highp int;
precision highp sampler2D;
precision highp sampler2DArray;

uniform sampler2D u_photo;
uniform sampler2DArray u_maps; // layer c: a[c, 0], a[c, 1], a[c, 2], b[c]
uniform sampler2D u_decode;    // 256 x 3
uniform sampler2D u_encode;    // 1024 x 3
uniform vec4 u_tile;           // left, top, width, height of the texture, in pixels of the photo
uniform vec4 u_scene;          // left, top, width, height
uniform float u_strength;
uniform float u_weight;
uniform float u_divider;       // pixels of the canvas: the original photo is left of it
uniform mat3 u_to_srgb;
uniform mat3 u_from_srgb;
in vec2 v_position;
out vec4 o_color;

vec3 srgb_encode(vec3 light) {
  vec3 size = abs(light);
  vec3 high = 1.055 * pow(size, vec3(1.0 / 2.4)) - 0.055;
  return sign(light) * mix(high, 12.92 * size, lessThanEqual(size, vec3(0.0031308)));
}

vec3 srgb_decode(vec3 value) {
  vec3 size = abs(value);
  vec3 high = pow((size + 0.055) / 1.055, vec3(2.4));
  return sign(value) * mix(high, size / 12.92, lessThanEqual(size, vec3(0.04045)));
}

float look_up(sampler2D curves, float value, int channel) {
  int last = textureSize(curves, 0).x - 1;
  float position = clamp(value, 0.0, 1.0) * float(last);
  int lower = min(int(position), last - 1);
  float below = texelFetch(curves, ivec2(lower, channel), 0).r;
  return mix(below, texelFetch(curves, ivec2(lower + 1, channel), 0).r, position - float(lower));
}

vec3 look_up(sampler2D curves, vec3 value) {
  return vec3(look_up(curves, value.r, 0), look_up(curves, value.g, 1), look_up(curves, value.b, 2));
}

vec4 fetch(ivec2 cell, int c) {
  return texelFetch(u_maps, ivec3(cell, c), 0);
}

vec3 correct(vec3 color, vec2 position) {
  ivec2 cells = textureSize(u_maps, 0).xy;
  vec2 at = clamp(position * vec2(cells) / u_scene.zw - 0.5, vec2(0.0), vec2(cells - 1));
  vec3 result;
#if DISPLAY // half floats, which every GPU can interpolate in hardware; the error is below one level
  vec2 middle = (at + 0.5) / vec2(cells);
  for (int c = 0; c < 3; c++) result[c] = dot(texture(u_maps, vec3(middle, float(c))), vec4(color, 1.0));
#else
  ivec2 lower = ivec2(at);
  ivec2 upper = min(lower + 1, cells - 1);
  vec2 weight = at - vec2(lower);
  for (int c = 0; c < 3; c++) {
    vec4 above = mix(fetch(lower, c), fetch(ivec2(upper.x, lower.y), c), weight.x);
    vec4 below = mix(fetch(ivec2(lower.x, upper.y), c), fetch(upper, c), weight.x);
    result[c] = dot(mix(above, below, weight.y), vec4(color, 1.0));
  }
#endif
  return clamp(mix(color, result, u_strength), 0.0, 1.0);
}

vec3 repair(vec3 color, vec2 position) {
#if GRAY
  vec3 levels = floor(correct(vec3(color.g), position) * 255.0 + 0.5);
  float level = floor((levels.r + levels.g + levels.b) / 3.0 + 0.5) / 255.0;
  return clamp(vec3(level) + color - color.g, 0.0, 1.0);
#else
  return correct(color, position);
#endif
}

void main() {
  vec4 texel = texture(u_photo, (v_position - u_tile.xy) / u_tile.zw);
  vec3 own = texel.rgb;
  vec2 position = v_position - u_scene.xy;
  bool inside = all(greaterThanEqual(position, vec2(0.0))) && all(lessThan(position, u_scene.zw));
  bool changes = inside && u_strength * u_weight > 0.0 && texel.a > 0.0 && gl_FragCoord.x >= u_divider;
  vec3 color = own;
#if CONVERTS
  vec3 wide = srgb_encode(u_to_srgb * look_up(u_decode, own)); // outside [0, 1] where the photo is outside its gamut
  color = clamp(wide, 0.0, 1.0);
#endif
  vec3 result = changes ? mix(color, repair(color, position), u_weight) : color;
#if CONVERTS && !DISPLAY
  vec3 light = clamp(u_from_srgb * srgb_decode(result + wide - color), 0.0, 1.0);
  result = changes ? look_up(u_encode, srgb_encode(light)) : own;
#endif
  o_color = vec4(floor(result * 255.0 + 0.5) / 255.0, texel.a);
}`;
