-- Each key as likely as the next.
local prefix, keys = "", 1

function init(args)
  prefix = "/b/" .. args[1] .. "/k"
  keys = tonumber(args[3])
  math.randomseed(tonumber(args[2]))
end

function request()
  return wrk.format("GET", prefix .. math.random(0, keys - 1))
end
