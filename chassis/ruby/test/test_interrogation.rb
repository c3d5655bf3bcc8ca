# frozen_string_literal: true

# Hello, welcome, and a program that nobody interrogates.

require_relative "helper"

class HelloTest < Minitest::Test
  def test_the_conformance_worker_describes_itself
    hello = Manager.with("conformance.rb", &:interrogate)
    functions = hello.delete("functions").to_h { |function| [function["name"], function] }
    assert_equal({ "kind" => "conformance", "versions" => { "chassis" => "ruby" },
                   "tags" => ["conformance"], "roles" => [], "slots" => 1 }, hello)
    assert_equal %w[echo add fail sleep remaining count nested last print measure leak],
                 functions.keys
    assert_equal(
      { "name" => "add", "doc" => "Adds.", "idempotent" => true, "stream" => false,
        "parameters" => [{ "name" => "a", "type" => "integer" },
                         { "name" => "b", "type" => "integer" },
                         { "name" => "c", "type" => "integer", "required" => false }],
        "result" => "integer" }, functions["add"]
    )
    assert_equal(["count"], functions.values.select { |f| f["stream"] }.map { |f| f["name"] })
  end

  def test_details_slots_and_parameters
    hello = Manager.with("sample.rb", 3, &:interrogate)
    functions = hello.delete("functions").to_h { |function| [function["name"], function] }
    assert_equal({ "kind" => "sample", "versions" => { "model" => "1.2" },
                   "tags" => %w[en de], "roles" => ["r"], "slots" => 3 }, hello)
    assert_equal %w[first third second fourth],
                 functions["options"]["parameters"].map { |parameter| parameter["name"] }
    assert_equal [{ "name" => "of", "type" => "string" },
                  { "name" => "count", "type" => "any", "required" => false }],
                 functions["price"]["parameters"]
  end

  def test_one_of_several_versions_is_picked
    Manager.with("conformance.rb", protocol: "1,2") do |manager|
      assert_equal({ "protocol" => 1 }, manager.receive.header)
    end
  end

  def test_ping_and_quit_before_the_welcome
    Manager.with("conformance.rb") do |manager|
      assert_equal "H", manager.receive.type
      manager.send_frame("P")
      assert_equal "O", manager.receive.type
      manager.send_frame("Q")
      assert_equal 0, manager.exit_status
    end
  end

  def test_a_call_before_the_welcome_breaks_the_protocol
    Manager.with("conformance.rb") do |manager|
      manager.receive
      manager.send_call("echo", [1])
      assert_equal 1, manager.exit_status
      assert_includes manager.log, "ProtocolError"
    end
  end
end

class WithoutManagerTest < Minitest::Test
  def assert_refused(*words, **options)
    Manager.with("conformance.rb", **options) do |manager|
      assert_equal 64, manager.exit_status
      [*words, "katamari check -- ", "conformance.rb"].each do |word|
        assert_includes manager.log, word
      end
    end
  end

  def test_started_by_hand
    assert_refused "KATAMARI_PROTOCOL is not set", protocol: nil
  end

  def test_a_protocol_that_it_does_not_speak
    assert_refused '"lines"', 'dialect "json"', protocol: "lines"
  end

  def test_descriptors_that_are_not_open
    assert_refused "3 and 4 are not open", pipes: false
  end
end

class ChildrenTest < Minitest::Test
  def test_descriptors_are_closed_in_programs_it_starts
    Manager.with("conformance.rb") do |manager|
      manager.interrogate
      assert_equal true, manager.call("leak").value
    end
  end

  def test_the_leak_test_can_see_a_leak
    read, write = IO.pipe
    read.close_on_exec = false
    assert system("test -e /proc/self/fd/#{read.fileno}", close_others: false)
    [read, write].each(&:close)
  end

  def test_the_environment_does_not_promise_them
    Manager.with("sample.rb") do |manager|
      manager.interrogate
      assert_equal "unset", manager.call("environment").value
    end
  end

  def test_a_forked_child_is_out_of_the_conversation
    skip "Process._fork came with Ruby 3.1" unless Process.respond_to?(:_fork)
    [1, 2].each do |slots|
      Manager.with("sample.rb", slots) do |manager|
        manager.interrogate
        assert_equal "[false, false, false]", manager.call("forked").value
        assert_equal "x", manager.call("text_of", [1]).value
      end
    end
  end
end
