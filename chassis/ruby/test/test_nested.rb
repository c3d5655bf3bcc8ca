# frozen_string_literal: true

# Nested calls, with one slot and with several.

require_relative "helper"

class NestedTest < WorkerTest
  # Has the worker make a nested call; returns its frame.
  def relay(arguments = [], **options)
    @parent = manager.send_call("relay", ["do", arguments, options])
    frame = manager.receive
    assert_equal "N", frame.type, frame
    frame
  end

  def answer(frame, payload, **header)
    manager.send_frame("A", { id: frame.header["id"], **header }, payload)
    finish = manager.receive
    assert_equal @parent, finish.header["id"]
    finish
  end

  def test_the_frame
    frame = relay([1, "two"])
    assert_kind_of Integer, frame.header.delete("id")
    assert_equal({ "parent" => @parent, "details" => { "kind" => "other" }, "function" => "do" },
                 frame.header)
    assert_equal [1, "two"], frame.value
  end

  def test_the_frame_with_everything
    frame = relay([], kind: "parse", versions: { grammar: "5.12.0" }, tags: ["en"], roles: ["r"],
                      timeout: 0.5, key: "k", class: "low", idempotent: true)
    frame.header.delete("id")
    assert_equal(
      { "parent" => @parent, "function" => "do", "timeout_ms" => 500, "key" => "k",
        "class" => "low", "idempotent" => true,
        "details" => { "kind" => "parse", "grammar" => "5.12.0", "tags" => ["en"],
                       "roles" => ["r"] } }, frame.header
    )
  end

  def test_a_value
    finish = answer(relay, '{"a": [1]}')
    assert_equal ["R", { "a" => [1] }], [finish.type, finish.value]
  end

  def test_payloads_both_ways
    frame = relay([], payload: "ping")
    assert_equal ["ping", "text/plain"], [frame.payload, frame.header["content_type"]]
    assert_equal({ "payload" => "pong", "type" => "text/html" },
                 answer(frame, "pong", content_type: "text/html").value)
  end

  def test_by_target_and_by_name
    @parent = manager.send_call("call_by_target", ["parse.linkage"])
    frame = manager.receive
    assert_equal [{ "kind" => "parse" }, "linkage"], frame.header.values_at("details", "function")
    assert_equal({ "text" => "t" }, frame.value)
    assert_equal 1, answer(frame, "1").value
  end

  def test_an_error
    frame = relay
    error = { id: frame.header["id"], code: "no_pool", message: "none such" }
    manager.send_frame("B", error)
    header = manager.receive.header
    assert_equal ["Katamari::CallError", "no_pool: none such"], header.values_at("type", "message")
  end

  def test_too_large
    header = error("call_by_target", ["other.do", Manager::WELCOME[:frame_max]]).header
    assert_includes header["message"], "too_large"
  end

  def test_what_cannot_be_asked_for
    ["nodot", "käse.do", ".do", 5].each { |target| error("call_by_target", [target]) }
    error("relay", [5, []])
    [{ timeout: "1" }, { class: "urgent" }, { key: 5 }, { idempotent: 1 }, { tags: "en" },
     { versions: [] }, { versions: { kind: "x" } }].each do |options|
      error("relay", ["do", [], options])
    end
    assert_alive
  end

  def test_ping_and_other_answers_while_it_waits
    frame = relay
    manager.send_frame("P")
    assert_equal "O", manager.receive.type
    manager.send_frame("A", { id: frame.header["id"] + 1 }, "0")
    assert_equal 1, answer(frame, "1").value
  end

  def test_a_cancel_while_it_waits_is_seen_after
    @parent = manager.send_call("relay_then_look", ["do"])
    frame = manager.receive
    manager.send_frame("X", { id: @parent, reason: "client_left" })
    assert_equal [1, true], answer(frame, "1").value
  end

  def test_one_that_was_given_up_disturbs_no_other
    @parent = manager.send_call("impatient")
    slow = manager.receive
    quick = manager.receive
    assert_equal %w[slow quick], [slow, quick].map { |frame| frame.header["function"] }
    manager.send_frame("A", { id: slow.header["id"] }, "1")
    assert_equal 2, answer(quick, "2").value
  end

  def test_quit_while_it_waits
    frame = relay
    manager.send_frame("Q")
    assert_equal 1, answer(frame, "1").value
    assert_equal 0, manager.exit_status
  end

  def test_end_of_input_while_it_waits
    relay
    manager.end_of_input
    assert_includes manager.receive.header["message"], "stopping"
    assert_equal 0, manager.exit_status
  end

  def test_a_thread_of_the_functions_own_cannot_call
    expected = slots == 1 ? "only the thread" : "only while a call runs"
    assert_includes value("from_a_thread"), expected
  end
end

class NestedOfManySlotsTest < NestedTest
  def slots
    2
  end

  def test_answers_in_another_order
    parents = [1, 2].map { |number| manager.send_call("relay", ["do", [number]]) }
    frames = Array.new(2) { manager.receive }.sort_by { |frame| frame.value.first }
    assert_equal parents, (frames.map { |frame| frame.header["parent"] })
    [1, 0].each do |at|
      @parent = parents[at]
      assert_equal at, answer(frames[at], at.to_s).value
    end
  end
end
