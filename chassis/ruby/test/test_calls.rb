# frozen_string_literal: true

# Calls: arguments, results, errors, time, cancellation and frames, with one slot.

require_relative "helper"

class ArgumentsTest < WorkerTest
  def test_by_name
    assert_equal ["a", 2, true, 4], value("options", { third: true, first: "a" })
  end

  def test_by_position_binds_in_the_announced_order
    assert_equal ["a", 7, false, 4], value("options", ["a", false, 7])
  end

  def test_missing_unknown_and_too_many
    assert_includes error("options", { first: 1 }).header["message"], "third"
    given = { first: 1, third: 2, fifth: 5 }
    assert_includes error("options", given).header["message"], "fifth"
    assert_equal "options takes 4 arguments, 5 were given",
                 error("options", [1, 2, 3, 4, 5]).header["message"]
  end

  def test_a_method_is_a_function
    assert_equal "2 nails", value("price", { of: "nails", count: 2 })
  end

  def test_payloads_that_are_not_json
    ["", "{", '{"first":1} x', '{"a":NaN}', "\xff".b, "\"\xff\""].each do |payload|
      error("options", payload)
    end
    assert_alive
  end

  def test_arguments_that_a_function_cannot_take
    %w[5 null "text"].each do |payload|
      assert_includes error("text_of", payload).header["message"],
                      "neither an object nor an array"
    end
  end

  def test_bytes_and_payloads
    octets = "application/octet-stream"
    assert_equal 2, value("size_of", "\x00\xff".b, content_type: octets)
    frame = manager.call("retype", "abc", content_type: "text/plain")
    assert_equal ["cba", "text/plain+reversed"], [frame.payload, frame.header["content_type"]]
    frame = manager.call("octets", [3])
    assert_equal ["\xff\xff\xff".b, octets], [frame.payload, frame.header["content_type"]]
  end

  def test_json_by_its_content_type
    ["application/json", "application/json; charset=utf-8"].each do |content_type|
      assert_equal "xx", value("text_of", "[2]", content_type: content_type)
    end
  end
end

class ResultsTest < WorkerTest
  def test_nil_symbols_and_unicode
    assert_equal "null", manager.call("make", ["nil"]).payload
    assert_equal({ "a" => "b" }, value("make", ["symbols"]))
    assert_equal "\"pâté \u2028 🍣\"".b, manager.call("make", ["unicode"]).payload
  end

  def test_the_header_holds_no_more_than_it_needs
    assert_equal ["id"], manager.call("text_of", [1]).header.keys
  end

  def test_what_json_cannot_hold_is_an_error
    { "nan" => "GeneratorError", "infinity" => "GeneratorError", "not UTF-8" => "GeneratorError",
      "circle" => "NestingError" }.each do |what, type|
      assert_includes error("make", [what]).header["type"], type
      assert_alive
    end
  end

  def test_frame_max
    room = Manager::WELCOME[:frame_max] - 3 - '{"id":1}'.size - 2
    assert_equal room, value("text_of", [room]).size
    header = error("text_of", [room + 1]).header
    assert_equal "Katamari::TooLarge", header["type"]
    assert_includes header["message"], Manager::WELCOME[:frame_max].to_s
    assert_alive
  end
end

class ErrorsTest < WorkerTest
  def test_message_type_and_backtrace
    frame = error("raise_it", ["cause"])
    assert_equal %w[ArgumentError outer], frame.header.values_at("type", "message")
    refute frame.header.key?("last")
    assert_match(/\Aouter \(ArgumentError\)\n\tfrom .*sample.rb:\d+/, frame.payload)
    assert_match(/^inner \(KeyError\)\n\tfrom /, frame.payload)
  end

  def test_backtraces_leave_the_chassis_out
    [["raise_it", ["cause"]], ["raise_it", []]].each do |function, arguments|
      refute_includes error(function, arguments).payload, "lib/katamari/"
    end
  end

  def test_odd_exceptions
    [%w[empty ArgumentError ArgumentError],
     ["mute", "Mute", "Mute, whose message cannot be shown"],
     ["binary", "RuntimeError", "\ufffd"],
     ["long", "ArgumentError", "\0" * 8192],
     ["exception", "NotImplementedError", "not here"]].each do |what, type, message|
      header = error("raise_it", [what]).header
      assert_equal [type, message], header.values_at("type", "message")
      refute header.key?("last")
    end
    assert_equal "SystemStackError", error("recurse").header["type"]
    assert_alive
  end

  def test_exit_and_interrupt_end_the_worker_in_good_order
    [1, 2].product([%w[exit SystemExit], %w[interrupt Interrupt]]).each do |slots, (what, type)|
      Manager.with("sample.rb", slots) do |manager|
        manager.interrogate
        frame = manager.call_last("raise_it", [what])
        assert_equal ["E", type], [frame.type, frame.header["type"]]
        assert_equal 0, manager.exit_status
      end
    end
  end
end

class AboutTheCallTest < WorkerTest
  def test_id_key_and_class
    more = { call: "5f3c2a9e00000007", key: "k", class: "low" }
    assert_equal %w[5f3c2a9e00000007 k low], value("about_the_call", {}, **more)
    assert_equal ["0000000000000002", nil, "normal"], value("about_the_call")
  end
end

class AboutTheCallOfManySlotsTest < AboutTheCallTest
  def slots
    2
  end
end

class TimeTest < WorkerTest
  def test_cancel_while_it_runs
    %w[deadline client_left shutdown].each do |reason|
      call = manager.send_call("wait_for_cancel")
      manager.send_frame("X", { id: call, reason: reason })
      assert_equal reason, manager.receive.value
    end
  end

  def test_cancels_of_other_calls_and_too_late_are_ignored
    call = manager.send_call("wait_for_cancel")
    [call - 1, call + 1].each { |id| manager.send_frame("X", { id: id, reason: "deadline" }) }
    manager.send_frame("P")
    assert_equal "O", manager.receive.type
    manager.send_frame("X", { id: call, reason: "shutdown" })
    assert_equal "shutdown", manager.receive.value
    manager.send_frame("X", { id: call, reason: "deadline" })
    manager.send_frame("F", { id: call, bytes: 5 })
    assert_alive
  end

  def test_half_a_frame_does_not_hold_up_a_look_at_the_cancellation
    call = manager.send_call("wait_for_cancel")
    ping = Manager.pack("P", {})
    cancel = Manager.pack("X", { id: call, reason: "deadline" })
    manager.send_bytes(ping + cancel[0, 9])
    assert_equal "O", manager.receive.type
    manager.send_bytes(cancel[9..])
    assert_equal "deadline", manager.receive.value
  end
end

class FramesTest < WorkerTest
  def call_frame(payload)
    Manager.pack("C", { id: 9, function: "text_of", timeout_ms: 1000 }, payload)
  end

  def test_a_frame_byte_by_byte
    call_frame("[3]").each_char { |byte| manager.send_bytes(byte) }
    assert_equal "xxx", manager.receive.value
  end

  def test_frames_in_one_write
    manager.send_bytes(Manager.pack("P", {}) + call_frame("[3]") + Manager.pack("P", { new: [1] }))
    assert_equal(%w[O R O], Array.new(3) { manager.receive.type })
  end

  def test_frames_larger_than_a_pipe_both_ways
    text = "é" * 100_000
    assert_equal text, value("options", [text, 1]).first
  end

  def test_what_the_protocol_does_not_allow
    {
      Manager.pack("Z", {}) => '"Z"',
      "\x7f\xff\xff\xffP\x00\x02{}".b => "2147483647",
      "\x00\x00\x00\x05P\x00\x09{}".b => "longer",
      "\x00\x00\x00\x05P\x00\x02xx".b => "not JSON",
      "\x00\x00\x00\x05P\x00\x02[]".b => "not an object",
      Manager.pack("C", { timeout_ms: 1 }, "[]") => "bad header"
    }.each do |sent, said|
      Manager.with("sample.rb") do |manager|
        manager.interrogate
        manager.send_bytes(sent)
        assert_equal 1, manager.exit_status
        assert_includes manager.log, "ProtocolError"
        assert_includes manager.log, said
      end
    end
  end

  def test_a_second_call_breaks_the_protocol
    2.times { manager.send_call("wait_for_cancel") }
    assert_equal 1, manager.exit_status
    assert_includes manager.log, "the only slot was taken"
  end
end
