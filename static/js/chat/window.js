/* How high the page is: a phone's keyboard covers it without making it smaller, and what is seen is what counts. */

export function fitWindow(page, then) {
  const fit = () => {
    if (visualViewport.scale !== 1) return; // who has zoomed in wants the page as it is
    page.style.setProperty("--above", `${page.getBoundingClientRect().top + scrollY}px`);
    page.style.setProperty("--seen-height", `${visualViewport.height}px`);
    then();
  };
  visualViewport.addEventListener("resize", fit);
  new ResizeObserver(fit).observe(document.querySelector(".top"));
  fit();
}
