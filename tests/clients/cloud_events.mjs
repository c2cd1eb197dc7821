// Sends events with the official JavaScript SDK, as it comes, in every mode it has; leases them back and lets the SDK
// read what a worker gets. Prints one JSON object: the answers, and for each job whether it is the event that was sent.
//
//   node cloud_events.mjs FOLDER-OF-NODE_MODULES http://127.0.0.1:8080
import { createRequire } from "node:module";
import { isDeepStrictEqual } from "node:util";

const [, , folder, gateway] = process.argv;
const { CloudEvent, HTTP, Mode, emitterFor, httpTransport } = createRequire(`${folder}/`)("cloudevents");

const bytes = new Uint8Array([0, 255, 254, 10, 37]);
const common = { source: "https://shop.example/orders", time: "2026-01-31T12:00:00.000Z" };
const extensions = { partitionkey: "käufer-7", comexampleflag: true, comexamplecount: -17 };

// In binary mode this SDK writes attributes as they are: what HTTP cannot carry its user has to encode.
const encoded = (attributes) =>
    Object.fromEntries(
        Object.entries(attributes).map(([name, value]) => [
            name,
            typeof value === "string" ? encodeURIComponent(value) : value,
        ]),
    );

const subject = "Zoë kauft 100 % für 5 €, \"sofort\" 😀";
const events = {
    "binary-json": {
        type: "payment",
        subject,
        ...extensions,
        datacontenttype: "application/json",
        data: { total: "5 €", lines: [1, 2.5, null] },
    },
    "binary-bytes": { type: "report", datacontenttype: "application/octet-stream", data: bytes },
    "structured-json": { type: "payment", subject, ...extensions, data: { total: "5 €", deep: [[[{}]]] } },
    "structured-bytes": { type: "digest", datacontenttype: "application/x-invoice", data: bytes },
    "batched-json": { type: "payment", subject, ...extensions, data: [1, 2] },
    "batched-text": { type: "digest", datacontenttype: "text/plain", data: "5 €" },
};
for (const [id, event] of Object.entries(events)) {
    events[id] = { id, ...common, ...event };
}

const answers = [];
const emit = {
    binary: emitterFor(httpTransport(`${gateway}/v1/jobs`), { binding: HTTP, mode: Mode.BINARY }),
    structured: emitterFor(httpTransport(`${gateway}/v1/jobs`), { binding: HTTP, mode: Mode.STRUCTURED }),
};
for (const id of ["binary-json", "binary-bytes", "structured-json", "structured-bytes"]) {
    const mode = id.split("-")[0];
    const { subject, partitionkey, ...rest } = events[id];
    const written = mode === "binary" && subject ? { ...rest, ...encoded({ subject, partitionkey }) } : events[id];
    const answer = await emit[mode](new CloudEvent(written));
    answers.push(JSON.parse(answer.body));
}
const batch = ["batched-json", "batched-text"].map((id) => new CloudEvent(events[id]));
const answer = await fetch(`${gateway}/v1/jobs/batch`, {
    method: "POST",
    headers: { "content-type": "application/cloudevents-batch+json" },
    body: JSON.stringify(batch),
});
answers.push(...(await answer.json()).items);

const post = async (path, body) =>
    (await fetch(gateway + path, { method: "POST", body: JSON.stringify(body) })).json();
const { jobs } = await post("/v1/leases", { max: 100 });
await post("/v1/leases/ack", { leases: jobs.map((job) => job.lease) });

// The data's bytes stand for data that is bytes; in binary mode every attribute is a text.
const plain = (event, texts) => {
    const { data_base64, data, ...attributes } = typeof event.toJSON === "function" ? { ...event } : event;
    const members = Object.entries(attributes).filter(([, value]) => value !== undefined);
    const told = members.map(([name, value]) => [name, texts ? String(value) : value]);
    return { specversion: "1.0", ...Object.fromEntries(told), data: ArrayBuffer.isView(data) ? Array.from(data) : data };
};
const told = jobs.map((job) => {
    const body = job.body ?? Buffer.from(job.body_base64, "base64");
    const headers = { ...job.headers };
    if (job.content_type !== null) headers["content-type"] = job.content_type;
    const event = HTTP.toEvent({ headers, body });
    const texts = event.id.startsWith("binary");
    const [sent, read] = [plain(events[event.id], texts), plain(event, texts)];
    const same = isDeepStrictEqual(read, sent);
    return { id: event.id, tier: job.tier, ordering_key: job.ordering_key, same, sent, read };
});
console.log(JSON.stringify({ answers, jobs: told }));
