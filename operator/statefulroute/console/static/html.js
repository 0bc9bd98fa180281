/** The renderer: Preact without a build step, with templates by htm. Values in templates become text, never HTML. */

import { Component, createRef, h, render } from "./vendor/preact.mjs";
import htm from "./vendor/htm.mjs";

export const html = htm.bind(h);

export { Component, createRef, render };
