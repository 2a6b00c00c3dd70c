// Passkeys: what the page asks for is handed to the browser, and its answer fills in the form.
const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const listed = (list) => (list ?? []).map((one) => ({ ...one, id: bytes(one.id) }));
const read = (o) => ({ ...o, challenge: bytes(o.challenge), allowCredentials: listed(o.allowCredentials) });
const readNew = (o) => ({
  ...o, challenge: bytes(o.challenge), user: { ...o.user, id: bytes(o.user.id) },
  excludeCredentials: listed(o.excludeCredentials),
});
const shown = Date.now();
const otherWay = () => document.querySelector("[data-instead]")?.setAttribute("open", "");
let waiting = new AbortController();

async function ask(form, mediation) {
  waiting.abort();
  waiting = new AbortController();
  const { signal } = waiting;
  const options = JSON.parse(form.dataset.options);
  const credential = form.hasAttribute("data-create")
    ? await navigator.credentials.create({ publicKey: readNew(options), signal })
    : await navigator.credentials.get({ publicKey: read(options), mediation, signal });
  form.elements.answer.value = JSON.stringify(credential.toJSON());
  form.submit();
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  const said = form.querySelector("[role=status]");
  const button = form.querySelector("button");
  const failed = (error) => {
    if (error.name === "AbortError") return;
    button.removeAttribute("aria-busy");
    otherWay();
    said.textContent = error.name === "InvalidStateError" ? form.dataset.known
      : error.name === "NotAllowedError" ? form.dataset.cancelled : form.dataset.failed;
  };
  if (!window.PublicKeyCredential?.prototype.toJSON) {
    button.disabled = true;
    said.textContent = form.dataset.unsupported;
    otherWay();
    continue;
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    button.setAttribute("aria-busy", "true");
    ask(form, "optional").catch(failed);
  });
  if (!form.hasAttribute("data-autofill")) continue;
  // A challenge lasts five minutes: whoever comes back later, and has typed nothing, gets a new one.
  document.addEventListener("visibilitychange", () => {
    const typed = [...document.querySelectorAll("#username, #password")].some((field) => field.value);
    if (!document.hidden && !typed && Date.now() - shown > 240_000) location.replace(form.dataset.again);
  });
  PublicKeyCredential.isConditionalMediationAvailable?.()
    .then((yes) => yes && ask(form, "conditional")).catch(() => {});
}
