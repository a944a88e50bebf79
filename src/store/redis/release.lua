-- Gives a lease up, if the caller has it. The term stays. KEYS: the lease. ARGV: holder.
if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'holder', '', 'until', '0')
end
return {}
