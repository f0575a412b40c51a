-- is_duplicate: whether the producer's kept post has this sequence number, or a later one.
local function is_duplicate(kept, sequence)
  return kept and struct.unpack('>d', kept) >= struct.unpack('>d', sequence)
end

