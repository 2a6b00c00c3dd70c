// The page: what is shown when, and what happens on a press of a button.
import * as session from "/static/session.js";

const at = (id) => document.getElementById(id);
const sections = ["sign-in", "account", "enrollment", "recovery"];
const show = (id) => sections.forEach((one) => { at(one).hidden = one !== id; });
const items = (list, texts) => list.replaceChildren(...texts.map((text) => {
  const item = document.createElement("li");
  item.textContent = text;
  return item;
}));

// Run what a person asked for, and say what went wrong.
const on = (id, event, act) => at(id).addEventListener(event, async (raised) => {
  raised.preventDefault();
  at("said").textContent = "";
  try {
    await act(raised.target.elements);
  } catch (problem) {
    at("said").textContent = problem.type === "enrollment_needed"
      ? "Add a second factor first." : problem.message;
    if (problem.status === 401 && problem.type === "invalid_token") show("sign-in");
  }
});

async function refresh() {
  const account = await session.account();
  if (!account) return show("sign-in");
  const { factors } = await session.send("GET", "/api/factors");
  at("name").textContent = account.username;
  at("balance").value = (await session.send("GET", "/balance")).balance;
  items(at("factors"), factors.map(({ method, label }) => `${label} (${method})`));
  return show("account");
}

// Ask for one of the methods in the dialog; the passkey is asked for by the browser.
function prove(methods) {
  const passkey = methods.find(({ method }) => method === "passkey");
  const hasRecovery = methods.some(({ method }) => method === "recovery_codes");
  let typed = methods.find(({ method }) => ["totp", "password"].includes(method))?.method;
  const input = at("proof-code").elements.answer;
  const labels = { totp: "Code", password: "Password", recovery_codes: "Recovery code" };
  const ask = (method) => {
    typed = method;
    at("proof-code").hidden = !typed;
    at("proof-label").textContent = labels[typed] ?? "";
    input.type = typed === "password" ? "password" : "text";
    input.inputMode = typed === "totp" ? "numeric" : "text";
    input.value = "";
  };
  ask(typed);
  at("proof-passkey").hidden = !passkey;
  at("proof-recovery").hidden = !hasRecovery;
  at("proof").showModal();
  return new Promise((resolve, reject) => {
    const end = (settle, value) => {
      at("proof").close();
      settle(value);
    };
    at("proof-code").onsubmit = (event) => {
      event.preventDefault();
      end(resolve, { method: typed, answer: input.value });
    };
    at("proof-passkey").onclick = () => session.getPasskey(passkey.options).then(
      (answer) => end(resolve, { method: "passkey", answer }), (error) => end(reject, error));
    at("proof-recovery").onclick = () => ask("recovery_codes");
    at("proof-cancel").onclick = () => end(reject, new Error("Cancelled."));
    at("proof").oncancel = () => reject(new Error("Cancelled."));
  });
}

let enrolling = null;

async function enrollApp(login) {
  const begun = await session.withStepUp(() => session.beginEnrollment("totp", login), prove);
  enrolling = { login, enrollment: begun.enrollment };
  at("qr").src = `data:image/svg+xml,${encodeURIComponent(begun.options.qr_svg)}`;
  at("key").textContent = begun.options.secret;
  show("enrollment");
}

function enrolled(told) {
  if (!told.recovery_codes?.length) return refresh();
  items(at("codes"), told.recovery_codes);
  return show("recovery");
}

async function signedIn(told) {
  if (told.status === "enrollment_required") return enrollApp(told.login);
  return refresh();
}

on("password", "submit", async ({ username, password }) => {
  const typed = password.value;
  password.value = "";
  await signedIn(await session.signIn(username.value, typed, prove));
});
on("passkey-alone", "click", async () => signedIn(await session.signInWithPasskey()));
on("transfer", "submit", async ({ amount }) => {
  const body = { amount: Number(amount.value) };
  const sent = await session.withStepUp(() => session.send("POST", "/transfers", body), prove);
  at("balance").value = sent.balance;
});
on("add-app", "click", () => enrollApp());
on("confirm", "submit", async ({ code }) => {
  const { login, enrollment } = enrolling;
  const told = await session.confirmEnrollment("totp", login, enrollment, code.value, "Phone");
  code.value = "";
  await enrolled(told);
});
on("add-passkey", "click", async () => {
  const begun = await session.withStepUp(() => session.beginEnrollment("passkey"), prove);
  const made = await session.createPasskey(begun.options);
  await enrolled(await session.confirmEnrollment("passkey", null, begun.enrollment, made, "Passkey"));
});
on("sign-out", "click", async () => {
  await session.signOut();
  await refresh();
});
on("kept", "click", refresh);

await refresh();
