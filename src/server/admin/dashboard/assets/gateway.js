// The way to the gateway: asked with the token, followed as a stream, tried again when it breaks.

/** An answer that is none of the good ones. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem?.detail ?? `the gateway answered ${status}`);
    this.status = status;
    this.code = problem?.code;
  }
}

/** The gateway that this page came from. The token is kept here and nowhere else. */
export class Gateway {
  #token = null;

  /** Shows this token from now on. */
  useToken(token) {
    this.#token = token;
  }

  /** Whether there is one to show. */
  get hasToken() {
    return this.#token !== null;
  }

  /** The JSON at a path; a body is posted. */
  async ask(path, body) {
    const answer = await this.#fetch(path, {
      method: body === undefined ? "GET" : "POST",
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(PATIENCE),
    });
    return answer.json();
  }

  /** Calls `heard(name, data)` for each event until the stream ends or is silent for too long. */
  async follow(heard) {
    const end = new AbortController();
    let alarm = setTimeout(() => end.abort(), SILENCE);
    try {
      const answer = await this.#fetch("v1/events", { signal: end.signal });
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(alarm);
        alarm = setTimeout(() => end.abort(), SILENCE);
        const blocks = (text + value).split("\n\n");
        text = blocks.pop();
        for (const { name, data } of blocks.map(parsed)) {
          if (data !== "") heard(name, JSON.parse(data));
        }
      }
    } finally {
      clearTimeout(alarm);
      end.abort();
    }
  }

  async #fetch(path, options) {
    const headers = { ...options.headers };
    if (this.#token !== null) headers.Authorization = `Bearer ${this.#token}`;
    const answer = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit", redirect: "error" });
    if (answer.ok) return answer;
    throw new Refused(answer.status, await answer.json().catch(() => null));
  }
}

/** One block of a stream of events. */
export function parsed(block) {
  let name = "message";
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) name = line.slice(7);
    if (line.startsWith("data: ")) data.push(line.slice(6));
  }
  return { name, data: data.join("\n") };
}

/** An event comes each second: after so many milliseconds without one the stream is dead. */
const SILENCE = 5000;

/** For any other answer, in milliseconds. */
const PATIENCE = 10000;
