// Talking to the admin port: JSON calls and the event stream, with the token where one is needed.

const kToken = "lictor-token";
const kTimeoutMs = 15000;
const kSilenceMs = 40000;

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

let askForToken = async () => "";
let asking = null;

// `ask` shows a prompt and resolves with what was entered. Called once at a time.
export function onTokenNeeded(ask) {
  askForToken = ask;
}

async function newToken(refused) {
  asking ??= askForToken(refused).then((token) => {
    sessionStorage.setItem(kToken, token);
    asking = null;
  });
  await asking;
}

// `signal` makes the signal of each attempt: waiting for a token takes no time off.
async function send(path, { signal, ...options }) {
  for (;;) {
    const token = sessionStorage.getItem(kToken);
    const headers = { ...options.headers };
    if (token) headers.Authorization = `Bearer ${token}`;
    const response = await fetch(path, { ...options, headers, signal: signal(), cache: "no-store", redirect: "error" });
    if (response.status !== 401) return response;
    // Another call may have brought a newer one meanwhile.
    if (sessionStorage.getItem(kToken) === token) await newToken(token !== null);
  }
}

async function problemOf(response) {
  const problem = await response.json().catch(() => ({}));
  return new ApiError(response.status, problem.detail ?? `status ${response.status}`);
}

export async function call(path, method = "GET") {
  const response = await send(path, { method, signal: () => AbortSignal.timeout(kTimeoutMs) });
  if (!response.ok) throw await problemOf(response);
  return response.json();
}

// The events of one stream, {event, data} each. Ends when the stream does. `alive` is called with each
// piece of it.
async function* eventsOf(response, alive) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    alive();
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(
        block
          .split("\n")
          .filter((line) => /^[a-z]+: /.test(line))
          .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]),
      );
      if (fields.data) yield { event: fields.event, data: JSON.parse(fields.data) };
    }
  }
}

// For ever: hears events, and comes back when the stream ends. `onState(true)` means that what
// happened before is to be read now.
export async function listen(onEvent, onState) {
  for (let pause = 500; ; pause = Math.min(pause * 2, 10000)) {
    const stop = new AbortController();
    let timer = 0;
    // A sign of life comes every 15 s: without one the connection is dead, however open it looks.
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => stop.abort(), kSilenceMs);
    };
    try {
      // EventSource can't send a token.
      const response = await send("/v1/events", { signal: () => stop.signal });
      if (!response.ok) throw await problemOf(response);
      pause = 500;
      onState(true);
      alive();
      for await (const event of eventsOf(response, alive)) onEvent(event);
    } catch {
      // Told below; the reason is in what the other calls say.
    }
    clearTimeout(timer);
    onState(false);
    await new Promise((resume) => setTimeout(resume, pause));
  }
}
