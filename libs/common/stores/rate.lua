#!lua name=feedmill_rate_@VERSION@

-- KEYS of one slot: when all that was taken will have gone, in us; ARGV for each: how long what is taken needs, and how far
-- ahead of the clock it may reach, in us. Takes from all or from none (GCRA). How far ahead each reaches, or would have.
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
