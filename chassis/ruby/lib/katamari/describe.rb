# frozen_string_literal: true

# What a worker may say of itself, as the protocol has it.
#
# Checked when the program defines it, so that a mistake shows as a backtrace that points at the
# line to mend, not at the manager.

require_relative "errors"

module Katamari
  # Checks of names, labels, docs and types. Each returns what was checked or raises
  # `DescriptionError`.
  module Describe
    NAME = /\A[a-zA-Z0-9_-]{1,100}\z/.freeze
    RESERVED_KEYS = %w[kind tags roles].freeze

    # Version keys, tags and roles of a worker, each.
    DETAILS_MAX = 32

    # Bytes of a version.
    VERSION_SIZE_MAX = 200

    SLOTS_MAX = 1024
    FUNCTIONS_MAX = 1000
    PARAMETERS_MAX = 100
    PARAMETER_NAME_MAX = 100

    # Bytes of a doc.
    DOC_SIZE_MAX = 16 * 1024

    TYPES = %w[string integer number boolean bytes object any].freeze

    # Levels of [] and {} around a type.
    TYPE_DEPTH_MAX = 16

    module_function

    # Names are given as symbols or strings.
    def name(what, given)
      name = given.is_a?(Symbol) ? given.to_s : given
      return name if name.is_a?(String) && NAME.match?(name)

      raise DescriptionError,
            "#{what} #{given.inspect}: expected 1 to 100 characters of a-z A-Z 0-9 _ -"
    end

    def versions(given)
      count("version keys", given.size)
      given.to_h do |key, value|
        key = name("version key", key)
        if RESERVED_KEYS.include?(key)
          raise DescriptionError, "version key #{key} means something else"
        end

        unless value.is_a?(String) && value.bytesize <= VERSION_SIZE_MAX
          raise DescriptionError, "version #{key} = #{value.inspect}: expected a string of at " \
                                  "most #{VERSION_SIZE_MAX} bytes"
        end
        [key, value]
      end
    end

    # Tags or roles.
    def labels(what, given)
      unless given.is_a?(Array)
        raise DescriptionError, "#{what}: expected an array, not #{given.inspect}"
      end

      count(what, given.size)
      given.map { |label| name(what, label) }
    end

    def slots(given)
      return given if given.is_a?(Integer) && given.between?(1, SLOTS_MAX)

      raise DescriptionError, "slots #{given.inspect}: expected 1 to #{SLOTS_MAX}"
    end

    def boolean(what, given)
      return given if [true, false].include?(given)

      raise DescriptionError, "#{what}: expected true or false, not #{given.inspect}"
    end

    def doc(what, given)
      unless given.is_a?(String)
        raise DescriptionError, "#{what}: its doc is no string: #{given.inspect}"
      end
      return given if given.bytesize <= DOC_SIZE_MAX

      raise DescriptionError,
            "#{what}: its doc has #{given.bytesize} bytes, #{DOC_SIZE_MAX} are allowed"
    end

    # A type in the notation of the protocol, such as "{[string?]}".
    def type(what, given)
      text = rest = given.to_s
      (TYPE_DEPTH_MAX + 1).times do
        rest = rest.delete_suffix("?")
        inner = rest[/\A\[(.*)\]\z/m, 1] || rest[/\A\{(.*)\}\z/m, 1]
        return text if inner.nil? && TYPES.include?(rest)
        break if inner.nil?

        rest = inner
      end
      raise DescriptionError,
            "#{what}: expected a type (#{TYPES.join(', ')}, [T], {T} or T?, at most " \
            "#{TYPE_DEPTH_MAX} levels deep), not #{given.inspect}"
    end

    def count(what, count)
      return if count <= DETAILS_MAX

      raise DescriptionError, "#{count} #{what}: at most #{DETAILS_MAX} are allowed"
    end
  end
end
