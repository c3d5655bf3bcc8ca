# frozen_string_literal: true

# Streamed replies and their credit, with one slot and with several.

require_relative "helper"

class StreamsTest < WorkerTest
  CREDIT = Manager::WELCOME[:stream_credit]

  # The pieces of a stream, and the frame that ends it.
  def collect(call)
    pieces = []
    loop do
      frame = manager.receive
      assert_equal call, frame.header["id"]
      return [pieces, frame] unless frame.type == "S"

      pieces << frame
    end
  end

  def stream(function, arguments = {})
    pieces, finish = collect(manager.send_call(function, arguments))
    [pieces.map(&:value), finish]
  end

  # How many pieces come before the worker has nothing to do but pong.
  def pieces_until_pong
    manager.send_frame("P")
    count = 0
    count += 1 while manager.receive.type == "S"
    count
  end

  def test_pieces_and_an_empty_end
    pieces, finish = stream("numbers", [3])
    assert_equal [[1, 2, 3], "R", ""], [pieces, finish.type, finish.payload]
    pieces, finish = stream("numbers", [0])
    assert_equal [[], "R", ""], [pieces, finish.type, finish.payload]
  end

  def test_an_enumerator
    pieces, finish = stream("lines", ["a\nb"])
    assert_equal [%w[a b], "R", ""], [pieces, finish.type, finish.payload]
  end

  def test_what_is_no_stream
    _, finish = stream("no_stream")
    assert_equal %w[E TypeError], [finish.type, finish.header["type"]]
  end

  def test_an_error_in_the_middle
    pieces, finish = stream("numbers", { to: 5, fail_at: 3 })
    assert_equal [[1, 2], "E", "no 3"], [pieces, finish.type, finish.header["message"]]
  end

  def test_pieces_that_are_not_json
    pieces, = collect(manager.send_call("chunks"))
    assert_equal [["\0\1", "application/octet-stream"], ["<p>", "text/html"]],
                 (pieces.map { |piece| [piece.payload, piece.header["content_type"]] })
  end

  def test_last_after_a_stream
    pieces, finish = stream("last_numbers")
    assert_equal [[1], 2, true], [pieces, finish.value, finish.header["last"]]
    manager.send_frame("Q") if slots > 1
    assert_equal 0, manager.exit_status
  end

  def test_it_stops_without_credit_and_goes_on_with_more
    # A piece is 100 bytes long, with its quotes; the last may overdraw the credit.
    call = manager.send_call("numbers", { to: 60, size: 98 })
    expected = (CREDIT / 100.0).ceil
    expected.times { assert_equal "S", manager.receive.type }
    assert_equal 0, pieces_until_pong
    manager.send_frame("F", { id: call, bytes: (expected * 100) - CREDIT })
    assert_equal 0, pieces_until_pong # zero is not enough
    manager.send_frame("F", { id: call, bytes: 501 })
    6.times { assert_equal "S", manager.receive.type }
    manager.send_frame("F", { id: call, bytes: 1_000_000 })
    pieces, finish = collect(call)
    assert_equal [60 - expected - 6, "R"], [pieces.size, finish.type]
  end

  def test_one_large_piece_needs_no_more_credit_than_there_is
    pieces, finish = stream("numbers", { to: 1, size: CREDIT * 3 })
    assert_equal [CREDIT * 3, "R"], [pieces.first.size, finish.type]
  end

  def test_a_last_value_waits_for_credit
    call = manager.send_call("last_value", [CREDIT])
    assert_equal "S", manager.receive.type
    assert_equal 0, pieces_until_pong
    manager.send_frame("F", { id: call, bytes: CREDIT })
    pieces, finish = collect(call)
    assert_equal [[], "end"], [pieces, finish.value]
  end

  def test_cancel_while_it_waits_for_credit
    { ["numbers", { to: 1000, size: CREDIT }] => "closed",
      ["endless", { size: CREDIT }] => "enumerator closed" }.each do |(function, given), seen|
      call = manager.send_call(function, given)
      assert_equal "S", manager.receive.type
      manager.send_frame("X", { id: call, reason: "client_left" })
      pieces, finish = collect(call)
      assert_equal [[], "Katamari::Cancelled"], [pieces, finish.header["type"]]
      assert_equal seen, value("what_was_seen").last
    end
  end

  def test_cancel_while_it_has_credit
    Manager.with("sample.rb", slots) do |manager|
      manager.interrogate(stream_credit: 1 << 40)
      call = manager.send_call("endless", [1])
      assert_equal "S", manager.receive.type
      manager.send_frame("X", { id: call, reason: "deadline" })
      frame = manager.receive
      # Far more than fit into the pipe.
      200_000.times { frame = manager.receive if frame.type == "S" }
      assert_equal "E", frame.type
      assert_equal "x", manager.call("text_of", [1]).value
    end
  end

  def test_end_of_input_while_it_waits_for_credit
    call = manager.send_call("numbers", { to: 1000, size: CREDIT })
    assert_equal "S", manager.receive.type
    manager.end_of_input
    _, finish = collect(call)
    assert_equal "E", finish.type
    assert_equal 0, manager.exit_status
  end

  def test_a_piece_too_large
    pieces, finish = stream("numbers", { to: 1, size: Manager::WELCOME[:frame_max] })
    assert_equal [[], "Katamari::TooLarge"], [pieces, finish.header["type"]]
  end
end

class StreamsOfManySlotsTest < StreamsTest
  def slots
    2
  end
end
