# frozen_string_literal: true

# Streamed requests: input, what is granted for it, and its ends, with one slot and with several.

require "digest"
require_relative "helper"

class InputTest < WorkerTest
  CREDIT = Manager::WELCOME[:stream_credit]

  def begin_call(function, arguments = {}, **more)
    manager.send_call(function, arguments, input: true, **more)
  end

  def send_piece(call, piece, **more)
    manager.send_frame("I", { id: call, **more }, piece)
  end

  def assert_grant(call, bytes)
    frame = manager.receive
    assert_equal ["G", { "id" => call, "bytes" => bytes }], [frame.type, frame.header]
  end

  def assert_end(call, value)
    frame = manager.receive
    assert_equal ["R", call], [frame.type, frame.header["id"]], frame
    assert_equal value, frame.value
  end

  # Nothing comes but the answer to a ping.
  def assert_silent
    manager.send_frame("P")
    assert_equal "O", manager.receive.type
  end

  def test_it_is_announced
    Manager.with("sample.rb", slots) do |manager|
      functions = manager.interrogate["functions"].to_h { |it| [it["name"], it["input"]] }
      assert_equal [true, nil], functions.values_at("pieces", "nap")
    end
  end

  def test_pieces_as_they_come
    call = begin_call("pieces")
    assert_grant call, CREDIT
    send_piece call, "\0\xff", content_type: "image/png"
    send_piece call, ""
    send_piece call, "end", end: true
    assert_end call, [[[0, 255], [101, 110, 100]], "image/png"]
  end

  def test_without_an_input_it_has_ended
    assert_equal [[], nil], value("pieces")
  end

  def test_what_was_taken_is_granted_again
    call = begin_call("read_sizes", [[1, (CREDIT / 8) - 1, 1]])
    assert_grant call, CREDIT
    send_piece call, "x" * ((CREDIT / 8) - 1)
    assert_silent
    send_piece call, "y"
    assert_grant call, CREDIT / 8
    send_piece call, "z" * CREDIT
    assert_grant call, CREDIT
    assert_end call, [1, (CREDIT / 8) - 1, 1]
  end

  def test_nothing_is_granted_before_it_reads
    call = begin_call("wait_then_read")
    manager.receive # a nested call
    assert_silent
    manager.send_frame("A", { id: 1 }, "null")
    assert_grant call, CREDIT
    send_piece call, "abc", end: true
    assert_end call, "abc"
  end

  def test_it_reads_like_a_file
    call = begin_call("like_a_file")
    assert_grant call, CREDIT
    ["ab", "c\nde", "\n\n", "fghijklm"].each { |piece| send_piece call, piece }
    send_piece call, "", end: true
    assert_end call, ["a", "bc\n", "de\n", "\n", "f", "gh", "klm", nil, "", nil, "EOFError"]
  end

  def test_an_early_end
    call = begin_call("read_sizes", [[1]])
    assert_grant call, CREDIT
    send_piece call, "xyz"
    assert_end call, [1]
    send_piece call, "too late"
    send_piece call, "", end: true
    assert_alive
  end

  def test_a_stream_of_answers_for_a_stream_of_pieces
    call = begin_call("upper")
    assert_grant call, CREDIT
    %w[a b].each do |piece|
      send_piece call, piece
      frame = manager.receive
      assert_equal ["S", piece.upcase], [frame.type, frame.value]
    end
    send_piece call, "", end: true
    frame = manager.receive
    assert_equal ["R", ""], [frame.type, frame.payload]
  end

  def test_cancel_while_it_waits
    call = begin_call("pieces")
    assert_grant call, CREDIT
    manager.send_frame("X", { id: call, reason: "client_left" })
    frame = manager.receive
    assert_equal ["E", "Katamari::Cancelled", "cancelled"],
                 [frame.type, *frame.header.values_at("type", "message")]
    assert_alive
  end

  def test_end_of_descriptor_3_while_it_waits
    assert_grant begin_call("pieces"), CREDIT
    manager.end_of_input
    assert_equal "Katamari::Cancelled", manager.receive.header["type"]
    assert_equal 0, manager.exit_status
  end
end

class InputOfManySlotsTest < InputTest
  def slots
    2
  end

  def test_calls_side_by_side
    calls = Array.new(2) { begin_call("digest") }
    2.times { assert_equal "G", manager.receive.type }
    sums = calls.to_h { |call| [call, Digest::SHA256.new] }
    3.times do |round|
      calls.each do |call|
        piece = "#{call}-#{round}" * 300
        sums[call] << piece
        send_piece call, piece
        assert_grant call, piece.bytesize
      end
    end
    calls.reverse_each do |call|
      send_piece call, "", end: true
      assert_end call, sums[call].hexdigest
    end
  end
end
