// What only the browser knows, when the theme has changed the page: what scrolls can be reached by keyboard, and buttons
// beside code are no landmarks.
addEventListener("load", () => {
  for (const region of document.querySelectorAll(".md-typeset__scrollwrap, p:has(> img[src$='.svg'])")) {
    if (region.scrollWidth > region.clientWidth) region.tabIndex = 0;
  }
  for (const buttons of document.querySelectorAll(".md-code__nav")) buttons.role = "none";
});
