-- Each request for a key that nobody has asked for.
local prefix, count = "", 0

function init(args)
  prefix = "/b/" .. args[1] .. "/m" .. args[2] .. "-"
end

function request()
  count = count + 1
  return wrk.format("GET", prefix .. count)
end
