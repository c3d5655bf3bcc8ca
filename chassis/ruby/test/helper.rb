# frozen_string_literal: true

# What the tests share.

require "minitest/autorun"
require_relative "fake_manager"

# A test with the worker of sample.rb, of as many slots as `slots` says.
class WorkerTest < Minitest::Test
  attr_reader :manager

  def slots
    1
  end

  def setup
    @manager = Manager.new("sample.rb", slots)
    @manager.interrogate
  end

  def teardown
    @manager.close
  end

  def value(function, arguments = {}, **more)
    frame = manager.call(function, arguments, **more)
    assert_equal "R", frame.type, frame
    frame.value
  end

  def error(function, arguments = {}, **more)
    frame = manager.call(function, arguments, **more)
    assert_equal "E", frame.type, frame
    frame
  end

  def assert_alive
    assert_equal "x", value("text_of", [1])
  end
end
