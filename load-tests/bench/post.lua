-- One job of 256 bytes, posted over and over; at the end one line for run.sh to read.
wrk.method = "POST"
wrk.body = '{"type":"measure","payload":"' .. string.rep("x", 225) .. '"}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Tidegate-Type"] = "measure"

done = function(summary, latency, _)
  local errors = summary.errors
  io.write(string.format("measured %.0f %.3f %.3f %d %d %d\n",
    summary.requests * 1e6 / summary.duration,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    summary.requests, errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
