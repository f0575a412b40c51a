-- is_sealed: whether an incarnation, as a queue's hash has it, is that of a sealed queue.
local function is_sealed(incarnation)
  return string.sub(incarnation, 1, 8) == '=sealed:'
end

-- send_posts_to_post_bounded: let post refuse, at no cost of other queues, what post_bounded then checks.
local function send_posts_to_post_bounded(incarnation)
  if is_sealed(incarnation) then redis.call('HSETNX', QUEUE, 'bounded', '0:0:0:0') end
end

