// SPDX-License-Identifier: Apache-2.0

import { Kind } from "./data.js";

const dark = window.matchMedia("(prefers-color-scheme: dark)");

export function onThemeChange(redraw) {
  dark.addEventListener("change", redraw);
}

// Hue, its spread between names, and saturation of each kind; the hues of user and kernel differ for colour-blind eyes too.
const palette = {
  [Kind.user]: { hue: 34, spread: 22, saturation: 80 },
  [Kind.kernel]: { hue: 210, spread: 24, saturation: 62 },
  [Kind.unnamed]: { hue: 34, spread: 10, saturation: 14 },
  [Kind.unnamedKernel]: { hue: 210, spread: 10, saturation: 16 },
  [Kind.thread]: { hue: 150, spread: 16, saturation: 34 },
  [Kind.other]: { hue: 0, spread: 0, saturation: 0 },
};

// colour is the same for a name in each graph, so that eyes can follow it.
export function colour(kind, name) {
  const { hue, spread, saturation } = palette[kind];
  const at = hash(name);
  const lightness = (dark.matches ? 30 : 74) + 6 * fraction(at >>> 16);
  return `hsl(${(hue + spread * (fraction(at) - 0.5)).toFixed(0)} ${saturation}% ${lightness.toFixed(0)}%)`;
}

export function matchColour() {
  return dark.matches ? "hsl(300 60% 42%)" : "hsl(300 85% 76%)";
}

const fraction = (bits) => (bits & 0xff) / 0xff;

// hash is FNV-1a over UTF-16 units.
function hash(name) {
  let h = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) {
    h = Math.imul(h ^ name.charCodeAt(i), 0x01000193);
  }
  return h >>> 0;
}
