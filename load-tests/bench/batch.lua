-- A batch of 500 jobs of 256 bytes as ndjson, posted over and over; at the end one line for redis.sh to read.
local lines = 500
wrk.method = "POST"
wrk.body = string.rep('{"type":"measure","payload":"' .. string.rep("x", 225) .. '"}\n', lines)
wrk.headers["Content-Type"] = "application/x-ndjson"
wrk.headers["Tidegate-Type"] = "measure"

done = function(summary, _, _)
  local errors = summary.errors
  io.write(string.format("measured %.0f %d %d %d\n",
    summary.requests * lines * 1e6 / summary.duration, summary.requests * lines,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
