# frozen_string_literal: true

# From a block to a function that a worker offers.

require_relative "describe"

module Katamari
  # A function that the worker offers: how to call it, and its description.
  #
  # Its parameters are the block's own keywords; `parameters:` adds their types and docs. Declared
  # ones alone stand if the block takes `**`.
  class Function
    PARAMETER_KEYS = %i[type doc required].freeze

    attr_reader :name, :body, :stream, :description

    # `body` responds to `call` and `parameters`, as a Method does.
    def initialize(name, body, doc:, idempotent:, stream:, input:, parameters:, result:)
      @name = name
      @body = body
      @emits = body.parameters.any? { |sort, _| sort == :block }
      @stream = stream.nil? ? @emits : Describe.boolean("#{@name}: stream", stream)
      declared = check_declared(parameters)
      described = ordered(merge(declared))
      @names = described.map { |parameter| parameter[:name].to_sym }
      result = Describe.type("#{@name}: result", result)
      @takes_bytes = bytes?(described.dig(0, :type))
      @returns_bytes = bytes?(result)
      @description = {
        name: @name,
        doc: Describe.doc(@name, doc),
        idempotent: Describe.boolean("#{@name}: idempotent", idempotent),
        stream: @stream,
        parameters: described,
        result: result
      }
      # The protocol's default is not written.
      @description[:input] = true if Describe.boolean("#{@name}: input", input)
      check_emitter
    end

    # Whether the pieces of a stream go to the block's own block; else they are what it returns.
    def emits?
      @emits
    end

    # Whether a String that it returns is bytes, and no text.
    def returns_bytes?
      @returns_bytes
    end

    # Calls it with arguments as they came: an object, an array, or a `Payload` for the first
    # parameter. Raises `ArgumentError`, and whatever the function does.
    def call(arguments, &emit)
      case arguments
      when Hash then @body.call(**arguments.transform_keys(&:to_sym), &emit)
      when Array then @body.call(**by_position(arguments), &emit)
      when Payload
        arguments = arguments.data if @takes_bytes
        @body.call(**by_position([arguments]), &emit)
      else raise ArgumentError, "arguments that are neither an object nor an array"
      end
    end

    private

    def bytes?(type)
      ["bytes", "bytes?"].include?(type)
    end

    def by_position(arguments)
      if arguments.size > @names.size
        raise ArgumentError,
              "#{@name} takes #{@names.size} arguments, #{arguments.size} were given"
      end
      @names.zip(arguments).first(arguments.size).to_h
    end

    # The declared parameters: `{ name: { type:, doc:, required: } }`, by symbol.
    def check_declared(parameters)
      unless parameters.is_a?(Hash)
        raise DescriptionError,
              "#{@name}: expected parameters: {name: type}, not #{parameters.inspect}"
      end

      parameters.to_h do |name, given|
        what = "#{@name}, #{name}"
        given = { type: given } unless given.is_a?(Hash)
        unknown = given.keys - PARAMETER_KEYS
        unless unknown.empty?
          raise DescriptionError,
                "#{what}: expected the keys #{PARAMETER_KEYS.join(', ')}, not #{unknown.inspect}"
        end
        [name.to_sym, check_parameter(what, given)]
      end
    end

    def check_parameter(what, given)
      checked = { type: Describe.type(what, given.fetch(:type, :any)) }
      checked[:doc] = Describe.doc(what, given[:doc]) if given.key?(:doc)
      if given.key?(:required)
        checked[:required] = Describe.boolean("#{what}: required", given[:required])
      end
      checked
    end

    # What is declared and what the block says, together: `[{ name:, type:, ... }]`.
    def merge(declared)
      own = own_parameters
      takes_rest = @body.parameters.any? { |sort, _| sort == :keyrest }
      unknown = declared.keys - own.keys
      unless takes_rest || unknown.empty?
        raise DescriptionError,
              "#{@name}: its block takes no keyword #{unknown.join(', ')}; expected " \
              "do |#{unknown.map { |name| "#{name}:" }.join(', ')}|"
      end
      own.each { |name, required| check_required(name, required, declared[name]) }
      (own.keys + unknown).map do |name|
        describe(name, declared.fetch(name, { type: "any" }), own.fetch(name, true))
      end
    end

    def describe(name, declared, required)
      if name.length > Describe::PARAMETER_NAME_MAX
        raise DescriptionError, "#{@name}: the parameter #{name} has a name of more than " \
                                "#{Describe::PARAMETER_NAME_MAX} characters"
      end
      described = { name: name.to_s, **declared }
      # The protocol's default is not written.
      described.delete(:required) if described[:required]
      described[:required] = false unless declared.fetch(:required, required)
      described
    end

    # The keywords of the block, and whether each is required.
    def own_parameters
      keywords = {}
      @body.parameters.each do |sort, name|
        case sort
        when :keyreq then keywords[name] = true
        when :key then keywords[name] = false
        when :keyrest, :block then next
        else
          raise DescriptionError,
                "#{@name}: the parameter #{name || 'without a name'} is positional; expected " \
                "keywords, such as do |#{name || 'name'}:|"
        end
      end
      keywords
    end

    def check_required(name, required, declared)
      return unless required && declared && declared[:required] == false

      raise DescriptionError,
            "#{@name}, #{name}: declared as not required, but the block has no default for it"
    end

    # Required ones first: in a block a keyword without a default may stand after one with.
    def ordered(parameters)
      if parameters.size > Describe::PARAMETERS_MAX
        raise DescriptionError, "#{@name}: #{parameters.size} parameters, " \
                                "#{Describe::PARAMETERS_MAX} are allowed"
      end
      optional, required = parameters.partition { |parameter| parameter[:required] == false }
      required + optional
    end

    def check_emitter
      return if @stream || !@emits

      raise DescriptionError, "#{@name}: its block takes a block, and so streams; it cannot be " \
                              "declared with stream: false"
    end
  end
end
