#!lua name=feedmill_recent_@VERSION@

local LEASE = ':lease'

-- KEYS values; ARGV seconds to live, the token of the leases, a new value for each key. A value is stored, and its lease
-- ends, if the lease still has the token.
local function fill(keys, args)
  for i, key in ipairs(keys) do
    if redis.call('GET', key .. LEASE) == args[2] then
      redis.call('SET', key, args[i + 2], 'EX', args[1])
      redis.call('DEL', key .. LEASE)
    end
  end
end

-- KEYS values; ARGV an id for each. A value is deleted unless it has the id. Its lease ends in any case.
local function forget(keys, args)
  for i, key in ipairs(keys) do
    local value = redis.call('GET', key)
    if value and not string.find(value, ',' .. args[i] .. ',', 1, true) then redis.call('DEL', key) end
    redis.call('DEL', key .. LEASE)
  end
end

redis.register_function('fill_@VERSION@', fill)
redis.register_function('forget_@VERSION@', forget)
