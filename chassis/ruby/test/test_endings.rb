# frozen_string_literal: true

# How a worker ends: last, quit, the end of either descriptor, SIGTERM.

require_relative "helper"

class EndingsTest < WorkerTest
  def assert_ends_well
    assert_equal 0, manager.exit_status
    assert_raises(Manager::EndOfFrames) { manager.receive }
    assert_includes manager.log, "after run" # `run` returned
  end

  def test_quit
    manager.send_frame("Q")
    assert_ends_well
  end

  def test_quit_while_a_call_runs
    call = manager.send_call("nap", [0.05])
    manager.send_frame("Q")
    assert_equal call, manager.receive.header["id"]
    assert_ends_well
  end

  def test_end_of_input
    manager.end_of_input
    assert_ends_well
  end

  def test_end_of_input_while_a_call_runs
    manager.send_call("nap", [0.05])
    manager.end_of_input
    assert_equal "rested", manager.receive.value
    assert_ends_well
  end

  def test_end_of_input_within_a_frame
    manager.send_bytes("\0\0\0\x20C")
    manager.end_of_input
    assert_ends_well
  end

  def test_nobody_reads_the_answers
    manager.output.close
    manager.send_call("text_of", [1])
    assert_equal 0, manager.exit_status
  end

  def test_last_with_a_value_that_cannot_be_sent
    assert_equal "E", manager.call_last("make", ["last nan"]).type
    assert_ends_well
  end

  def test_sigterm
    assert_alive
    Process.kill(:TERM, manager.pid)
    assert_equal(-Signal.list["TERM"], manager.exit_status)
  end

  def test_sigterm_while_a_call_runs
    manager.send_call("numbers", { to: 2, size: 4096 })
    assert_equal "S", manager.receive.type # it waits for credit, in the function
    Process.kill(:TERM, manager.pid)
    assert_equal(-Signal.list["TERM"], manager.exit_status)
  end
end

class EndingsOfManySlotsTest < EndingsTest
  def slots
    3
  end

  def test_last_lets_other_calls_finish
    waiting = manager.send_call("wait_for_cancel")
    manager.call_last("make", ["last nan"])
    manager.send_frame("X", { id: waiting, reason: "shutdown" })
    assert_equal "shutdown", manager.receive.value
    assert_ends_well
  end

  def test_calls_that_cross_a_last_are_answered
    assert_equal true, manager.call("make", ["last nan"]).header["last"]
    10.times { |size| assert_equal "x" * size, value("text_of", [size]) }
    manager.send_frame("Q")
    assert_ends_well
  end
end

class SlotsTest < WorkerTest
  def slots
    4
  end

  def test_calls_run_at_the_same_time
    calls = Array.new(slots) { manager.send_call("meet") }
    ends = Array.new(slots) { manager.receive }
    assert_equal calls, ends.map { |frame| frame.header["id"] }.sort
    assert_equal slots, ends.map(&:value).uniq.size
  end

  def test_a_cancel_concerns_one_call
    calls = Array.new(2) { manager.send_call("wait_for_cancel") }
    calls.reverse_each do |call|
      manager.send_frame("X", { id: call, reason: "number #{call}" })
      frame = manager.receive
      assert_equal [call, "number #{call}"], [frame.header["id"], frame.value]
    end
  end

  def test_ping_while_every_slot_is_busy
    slots.times { manager.send_call("wait_for_cancel") }
    manager.send_frame("P")
    assert_equal "O", manager.receive.type
  end

  def test_one_call_too_many_breaks_the_protocol
    (slots + 1).times { manager.send_call("wait_for_cancel") }
    assert_equal 1, manager.exit_status
    assert_includes manager.log, "all 4 slots were taken"
  end
end
