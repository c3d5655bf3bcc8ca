# frozen_string_literal: true

# The least a worker in Ruby can do, for `bench.rb` to compare with.

from_manager = IO.for_fd(3, "rb")
to_manager = IO.for_fd(4, "wb")
to_manager.sync = true
begin
  loop { to_manager.write(from_manager.readpartial(65_536)) }
rescue EOFError
  nil
end
