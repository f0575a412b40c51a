-- HOLD: what the fields of ASIDE with a unique id begin with. The others are messages, and shorter than this.
local HOLD = 'unique id:'

