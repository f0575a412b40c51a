-- clock: the caller's time if it gives one ('' if not), else the server's, in seconds since the epoch.
local function clock(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

