-- Sends each request of a file once, in order, and keeps every answer in another file (bench/wrk.py).
local requests, asked, kept = {}, 0, nil

local threads = {}
function setup(thread) threads[#threads + 1] = thread end

function init(args)
  -- A record: the request's length in ten digits, then the request.
  local file = assert(io.open(args[1], "rb"))
  while true do
    local length = file:read(10)
    if not length then break end
    requests[#requests + 1] = file:read(tonumber(length))
  end
  file:close()
  kept = assert(io.open(args[2], "wb"))
  kept:setvbuf("no") -- wrk never closes what a script has opened
end

sent = 0

function request()
  asked = asked + 1
  sent = asked
  return requests[asked] or requests[#requests]
end

function response(status, headers, body)
  kept:write(string.format("%3d%10d", status, #body), body)
  if asked + 64 > #requests then wrk.thread:stop() end -- none is sent twice: up to 32 are on their way
end

function done(summary, latency)
  local e = summary.errors
  print(string.format('\nBENCH {"seconds": %.6f, "answers": %d, "p50": %.3f, "p99": %.3f, "errors": %d, "sent": %d}',
    summary.duration / 1e6, summary.requests, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.timeout, threads[1]:get("sent")))
end
