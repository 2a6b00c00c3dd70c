// Copy a text and say so; print the page.
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    const lines = [...source.querySelectorAll("li")].map((line) => line.textContent);
    await navigator.clipboard.writeText(lines.length ? lines.join("\n") : source.textContent.trim());
    document.getElementById("said").textContent = button.dataset.done;
    button.lastChild.textContent = button.dataset.short;
  });
}
for (const button of document.querySelectorAll("[data-print]")) {
  button.addEventListener("click", () => print());
}
