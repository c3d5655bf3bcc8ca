# frozen_string_literal: true

# What a call costs in the chassis: echo of a small object, one call at a time.
#
#     ruby chassis/ruby/bench.rb [calls]
#
# Three numbers: the time of a round trip, that of a worker which only reads and writes (what the
# pipes, the scheduler and this Ruby manager cost), and the processor time the worker spends on a
# call. The difference of the first two is the chassis.

require_relative "test/fake_manager"

WARM_UP = 2000
CALL = Manager.pack(
  "C",
  { id: 1, call: "5f3c2a9e00000007", function: "echo", timeout_ms: 1990, class: "normal" },
  '{"value":{"text":"hello","limit":5,"tags":["a","b"]}}'
).freeze

def now
  Process.clock_gettime(Process::CLOCK_MONOTONIC)
end

# Microseconds of a round trip.
def run(manager, count)
  begun = now
  count.times do
    manager.input.write(CALL)
    manager.output.readpartial(65_536)
  end
  (now - begun) / count * 1e6
end

calls = Integer(ARGV.fetch(0, "50000"))
%w[bare_echo.rb conformance.rb].each do |script|
  Manager.with(script) do |manager|
    manager.interrogate if script == "conformance.rb"
    run(manager, WARM_UP)
    round_trip = run(manager, calls)
    before = Process.times
    manager.end_of_input
    manager.exit_status
    after = Process.times
    spent = after.cutime + after.cstime - before.cutime - before.cstime
    puts format("%-16<script>s %6.2<trip>f us round trip %6.2<spent>f us CPU",
                script: script, trip: round_trip, spent: spent / (calls + WARM_UP) * 1e6)
  end
end
