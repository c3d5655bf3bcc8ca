# frozen_string_literal: true

# What a nested call asks for, checked where the program asks for it: the manager could only
# complain of a header that it cannot read.

require_relative "describe"

module Katamari
  # See the top of this file.
  module Options
    CLASSES = %w[high normal low].freeze

    # Seconds, thirty years: longer than any call has, and no clock overflows by it.
    TIMEOUT_MAX = 1_000_000_000

    module_function

    # The details to call. Raises `DescriptionError`.
    def details(kind, versions, tags, roles)
      unless versions.is_a?(Hash)
        raise DescriptionError, "versions: expected a Hash, not #{versions.inspect}"
      end

      details = { **Describe.versions(versions), "kind" => Describe.name("kind", kind) }
      details["tags"] = Describe.labels("tags", tags) unless tags == []
      details["roles"] = Describe.labels("roles", roles) unless roles == []
      details
    end

    # The keys of the header for those that are given. Raises `ArgumentError`.
    def header(timeout, key, priority_class, idempotent)
      expect("key", "a String", key) { key.is_a?(String) }
      expect("class", "one of #{CLASSES.join(', ')}", priority_class) do
        CLASSES.include?(priority_class.to_s)
      end
      expect("idempotent", "true or false", idempotent) { [true, false].include?(idempotent) }
      {
        timeout_ms: milliseconds(timeout),
        key: key,
        class: priority_class,
        idempotent: idempotent
      }.compact
    end

    # A timeout in seconds as one in milliseconds; an infinite one is none.
    def milliseconds(timeout)
      expect("timeout", "seconds", timeout) { timeout.is_a?(Numeric) && !timeout.to_f.nan? }
      return nil if timeout.nil? || timeout == Float::INFINITY

      (timeout.clamp(0, TIMEOUT_MAX) * 1000).to_i
    end

    def expect(what, expected, given)
      return if given.nil? || yield

      raise ArgumentError, "#{what}: expected #{expected}, not #{given.inspect}"
    end
  end
end
