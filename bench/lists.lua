-- wrk: one page of a list. Argument: its path.
local path

function init(args) path = args[1] end

function request() return wrk.format("GET", path) end
