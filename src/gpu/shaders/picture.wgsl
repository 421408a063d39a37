// The logistic function of the normalised last layer as an RGB picture; a thread makes four pixels, three words. In front stands
// THREADS, those of a group.

struct Sizes {
  // Of the picture, and how many pixels a row of the last layer has.
  width: i32,
  height: i32,
  row: i32,
  // Threads of a row of groups.
  threads: i32,
}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> value: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> norm: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> picture: array<u32>;

fn levels(pixel: i32) -> vec3<u32> {
  let at = min(pixel, sizes.width * sizes.height - 1);
  let words = value[at / sizes.width * sizes.row + at % sizes.width];
  let own = vec3<f32>(unpack2x16float(words.x), unpack2x16float(words.y).x);
  return vec3<u32>(255.0 / (1.0 + exp(-(own * norm[0].xyz + norm[1].xyz))) + 0.5);
}

@compute @workgroup_size(THREADS)
fn finish(@builtin(global_invocation_id) id: vec3<u32>) {
  let four = i32(id.y) * sizes.threads + i32(id.x);
  if 4 * four >= sizes.width * sizes.height { return; }
  let a = levels(4 * four);
  let b = levels(4 * four + 1);
  let c = levels(4 * four + 2);
  let d = levels(4 * four + 3);
  picture[3 * four] = a.x | a.y << 8u | a.z << 16u | b.x << 24u;
  picture[3 * four + 1] = b.y | b.z << 8u | c.x << 16u | c.y << 24u;
  picture[3 * four + 2] = c.z | d.x << 8u | d.y << 16u | d.z << 24u;
}
