# frozen_string_literal: true

# The Ruby chassis of Katamari: makes a Ruby program a worker.
#
# Start reading in `worker`, which holds what a program uses. Below it, from the inside out:
# `descriptors` claims descriptors 3 and 4, `frames` reads and packs frames, `values` turns
# payloads into values and back, `function` and `describe` make descriptions, `options` checks what
# a nested call asks for, `session` runs calls, `one_slot` and `many_slots` decide where and when.

require_relative "katamari/version"
require_relative "katamari/descriptors"
require_relative "katamari/errors"
require_relative "katamari/values"
require_relative "katamari/worker"

module Katamari
  # Defines a worker and runs it until the manager says quit. The block is evaluated in the worker:
  #
  #     Katamari.worker do
  #       kind "greet", grammar: "1.2.3"
  #       handle :hello do |name:| "Hello, #{name}!" end
  #     end
  def self.worker(&definition)
    Worker.new(&definition).run
  end
end
