#!lua name=feedmill_rate_@VERSION@

-- GCRA. KEYS, in one slot: the theoretical arrival time of each limit, in us. ARGV, for each: the increment for this
-- request, and how far the time may be ahead of the clock, in us. Counts for all limits or for none.
-- Returns how far ahead of the clock each time is, or would be.
local function take(keys, args)
  local call, clock = redis.call, redis.call('TIME')
  local now, ahead, refused = clock[1] * 1000000 + clock[2], {}, false
  for i, key in ipairs(keys) do
    ahead[i] = math.max(now, tonumber(call('GET', key) or '0')) - now + args[2 * i - 1]
    refused = refused or ahead[i] > tonumber(args[2 * i])
  end
  if refused then return ahead end
  for i, key in ipairs(keys) do
    call('SET', key, string.format('%.0f', now + ahead[i]), 'PX', math.ceil(ahead[i] / 1000))
  end
  return ahead
end

redis.register_function('take_@VERSION@', take)
