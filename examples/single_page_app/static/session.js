// What a page needs of Twinlock. The session is in a cookie that no script can read; the CSRF
// token lives in this module alone, and is fetched again after a reload.
let csrf = null;

export class Problem extends Error {
  constructor(reply, told) {
    super(told?.detail ?? reply.statusText);
    this.status = reply.status;
    this.type = told?.type;
    const challenge = reply.headers.get("WWW-Authenticate") ?? "";
    this.isStepUp = challenge.includes("insufficient_user_authentication");
    this.acr = /acr_values="(\w+)"/.exec(challenge)?.[1];
  }
}

export async function send(method, path, body) {
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (csrf && method !== "GET") headers["X-CSRF-Token"] = csrf;
  const reply = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const isJson = reply.headers.get("Content-Type")?.includes("json");
  const told = isJson ? await reply.json() : null;
  if (!reply.ok) throw new Problem(reply, told);
  csrf = told?.csrf_token ?? csrf; // every new cookie comes with a new token
  return told;
}

const post = (path, body) => send("POST", path, body);

// Who is signed in, or null.
export async function account() {
  try {
    return await send("GET", "/api/account");
  } catch (problem) {
    if (problem.status === 401) return null;
    throw problem;
  }
}

// Sign in; where a second factor is asked for, `prove` says which method and what answer.
export async function signIn(username, password, prove) {
  const begun = await post("/api/login", { username, password, transport: "cookie" });
  if (begun.status !== "second_factor_required") return begun;
  const { method, answer } = await prove(begun.methods);
  return post(`/api/login/${method}`, { login: begun.login, answer, transport: "cookie" });
}

export async function signInWithPasskey() {
  const begun = await post("/api/passkey/begin", {});
  const answer = await getPasskey(begun.options);
  return post("/api/passkey/finish", { login: begun.login, answer, transport: "cookie" });
}

export async function signOut() {
  await post("/api/logout");
  csrf = null;
}

// Do something; where that takes a stronger or fresher proof, ask for one and do it again.
export async function withStepUp(act, prove) {
  try {
    return await act();
  } catch (problem) {
    if (!problem.isStepUp) throw problem;
    const begun = await post("/api/reauthenticate", problem.acr ? { acr: problem.acr } : {});
    const { method, answer } = await prove(begun.methods);
    const { reauthentication } = begun;
    await post(`/api/reauthenticate/${method}`, { reauthentication, answer });
    return act();
  }
}

export async function getPasskey(options) {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  return (await navigator.credentials.get({ publicKey })).toJSON();
}

// A login that must enroll first says so by its handle; else the session enrolls.
export const beginEnrollment = (method, login) =>
  login ? post(`/api/enrollment/${method}`, { login }) : post(`/api/factors/${method}`, {});

export const confirmEnrollment = (method, login, enrollment, answer, label) =>
  login
    ? post(`/api/enrollment/${method}/confirm`, { login, enrollment, answer, label, transport: "cookie" })
    : post(`/api/factors/${method}/confirm`, { enrollment, answer, label });

export async function createPasskey(options) {
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
  return (await navigator.credentials.create({ publicKey })).toJSON();
}
