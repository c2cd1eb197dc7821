// The workers of the scenarios: lease jobs through the gateway and acknowledge them.

import http from 'k6/http';

// Leases up to `max` jobs and acknowledges them: how many, or why not.
export function drainOnce(ingest, max) {
  const headers = { 'Content-Type': 'application/json' };
  const leased = http.post(`${ingest}/v1/leases`, JSON.stringify({ max }), { headers });
  if (leased.status !== 200) return { fault: `lease: ${leased.status} ${leased.body}` };
  const leases = leased.json('jobs').map((job) => job.lease);
  if (leases.length === 0) return { drained: 0 };
  const acked = http.post(`${ingest}/v1/leases/ack`, JSON.stringify({ leases }), { headers });
  if (acked.status !== 200) return { fault: `ack: ${acked.status} ${acked.body}` };
  return { drained: leases.length };
}
