// Proof of work: a nonce such that SHA-256(challenge + nonce) begins with so many zero bits.
// SHA-256 as in FIPS 180-4. Written out because WebCrypto answers one hash a task: a hundred times slower here.

const K = constants();
const INITIAL = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
const BLOCK = 64;
const SLICE = 20_000; // hashes between two looks at whether to stop: 10 ms on a laptop

/**
 * Find the nonce, in slices, so that the page stays alive.
 * @param {string} challenge ASCII, as the server sent it
 * @param {number} bits zero bits in front, 0 to 32
 * @param {AbortSignal} [signal] stops the search; the promise is then rejected with its reason
 * @returns {Promise<string>} the smallest decimal number that is a solution
 */
export async function solve(challenge, bits, signal) {
  const search = startSearch(challenge, bits);
  for (;;) {
    signal?.throwIfAborted();
    const nonce = search(SLICE);
    if (nonce !== null) return nonce;
    await new Promise((resume) => setTimeout(resume));
  }
}

/**
 * @returns {(hashes: number) => string | null} tries that many more nonces, counting up from 0
 */
export function startSearch(challenge, bits) {
  const prefix = bytesOf(challenge);
  const whole = prefix.length - (prefix.length % BLOCK);
  const middle = Int32Array.from(INITIAL);
  const words = new Int32Array(BLOCK);
  for (let at = 0; at < whole; at += BLOCK) compress(middle, words, prefix, at);
  const rest = prefix.subarray(whole); // what is before it is the same for every nonce: hashed once
  const state = new Int32Array(8);
  const tail = new Uint8Array(2 * BLOCK);
  const mask = bits === 0 ? 0 : -1 << (32 - bits);
  let number = 0;
  return (hashes) => {
    for (const end = number + hashes; number < end; number += 1) {
      const nonce = String(number);
      const length = pad(tail, rest, nonce, whole);
      state.set(middle);
      for (let at = 0; at < length; at += BLOCK) compress(state, words, tail, at);
      if ((state[0] & mask) === 0) return nonce;
    }
    return null;
  };
}

/** SHA-256 of an ASCII text, in hexadecimal. */
export function sha256(text) {
  const message = bytesOf(text);
  const whole = message.length - (message.length % BLOCK);
  const state = Int32Array.from(INITIAL);
  const words = new Int32Array(BLOCK);
  for (let at = 0; at < whole; at += BLOCK) compress(state, words, message, at);
  const tail = new Uint8Array(2 * BLOCK);
  const length = pad(tail, message.subarray(whole), "", whole);
  for (let at = 0; at < length; at += BLOCK) compress(state, words, tail, at);
  return Array.from(state, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
}

/** Fill ``tail`` with the end of a message of which ``before`` bytes are hashed; returns its length, 64 or 128. */
function pad(tail, rest, nonce, before) {
  tail.fill(0);
  tail.set(rest);
  let at = rest.length;
  for (let i = 0; i < nonce.length; i += 1) tail[at++] = nonce.charCodeAt(i);
  const bits = (before + at) * 8;
  tail[at] = 0x80;
  const length = at + 9 > BLOCK ? 2 * BLOCK : BLOCK;
  for (let i = 1, left = bits; i <= 4; i += 1, left >>>= 8) tail[length - i] = left;
  return length;
}

function compress(state, w, bytes, from) {
  for (let i = 0, at = from; i < 16; i += 1, at += 4) {
    w[i] = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
  }
  for (let i = 16; i < 64; i += 1) {
    const x = w[i - 15];
    const y = w[i - 2];
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
  }
  let a = state[0]; // one by one: destructuring would walk an iterator
  let b = state[1];
  let c = state[2];
  let d = state[3];
  let e = state[4];
  let f = state[5];
  let g = state[6];
  let h = state[7];
  for (let i = 0; i < 64; i += 1) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[i] + w[i]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
  state[4] += e;
  state[5] += f;
  state[6] += g;
  state[7] += h;
}

/** Fractional parts of the cube roots of the first 64 primes (FIPS 180-4, 4.2.2). */
function constants() {
  const found = [];
  for (let candidate = 2; found.length < 64; candidate += 1) {
    let isPrime = true;
    for (let divisor = 2; divisor * divisor <= candidate; divisor += 1) isPrime &&= candidate % divisor !== 0;
    if (isPrime) found.push(fractionOfCubeRoot(BigInt(candidate)));
  }
  return Int32Array.from(found);
}

/** The first 32 bits behind the point, exactly: floor(cbrt(n * 2^96)) mod 2^32. */
function fractionOfCubeRoot(n) {
  const target = n << 96n;
  let low = 0n;
  let high = 1n << 40n;
  while (low < high) {
    const middle = (low + high + 1n) >> 1n;
    if (middle ** 3n <= target) low = middle;
    else high = middle - 1n;
  }
  return Number(low & 0xffffffffn);
}

function bytesOf(text) {
  return new TextEncoder().encode(text);
}
