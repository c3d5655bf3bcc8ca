# frozen_string_literal: true

# What a program uses to be a worker.

require_relative "function"
require_relative "many_slots"
require_relative "one_slot"
require_relative "options"

module Katamari
  # A worker: define it, then `run` it.
  #
  # The block of `new` and those of `handle` are evaluated in the worker, so that all its methods
  # are at hand there without a receiver.
  class Worker
    def initialize(&definition)
      @kind = nil
      @versions = {}
      @tags = []
      @roles = []
      @slots = 1
      @functions = {}
      @session = nil
      instance_exec(&definition) if definition
    end

    # Its kind and versions: `kind "parse", grammar: "5.12.0"`.
    def kind(name, **versions)
      @kind = Describe.name("kind", name)
      @versions = Describe.versions(versions)
    end

    def tags(*tags)
      @tags = Describe.labels("tags", tags)
    end

    def roles(*roles)
      @roles = Describe.labels("roles", roles)
    end

    # How many calls it takes at a time; with more than one, each runs in a thread of its own.
    def slots(count)
      @slots = Describe.slots(count)
    end

    # Offers a function to the cluster. Its parameters are the block's keywords; `parameters`, a
    # Hash from names to types or to `{ type:, doc:, required: }`, says more about them.
    #
    # `idempotent`: it does no harm to run a call twice. `stream`: it answers in pieces, which are
    # the items of what it returns; a block that takes a block streams what it yields there.
    # `input`: it reads the request while it comes, from `input`.
    def handle(name, doc: "", idempotent: false, stream: nil, input: false, parameters: {},
               result: :any, &block)
      name = Describe.name("function", name)
      raise DescriptionError, "#{name}: expected a block, the function itself" if block.nil?
      raise DescriptionError, "function #{name} is defined twice" if @functions.key?(name)
      if @functions.size == Describe::FUNCTIONS_MAX
        raise DescriptionError, "more than #{Describe::FUNCTIONS_MAX} functions"
      end

      @functions[name] = Function.new(name, body(name, block),
                                      doc: doc, idempotent: idempotent, stream: stream,
                                      input: input, parameters: parameters, result: result)
    end

    # A function's block, to call it in a test: `worker[:hello].call(name: "Ada")`.
    def [](name)
      @functions.fetch(name.to_s).body
    end

    # Answers calls until the manager says quit; then returns. Exits with status 64 if the program
    # was started without a manager.
    def run
      description = self.description
      Descriptors.require_manager
      $stdout.sync = true # a log line is wanted when it is printed
      sort = @slots == 1 ? OneSlot : ManySlots
      @session = sort.new(description, @functions,
                          Descriptors.from_manager, Descriptors.to_manager)
      @session.run
    ensure
      @session = nil
    end

    # What its hello says. Raises `DescriptionError` if something is missing.
    def description
      raise DescriptionError, "a worker needs a kind: kind \"name\"" if @kind.nil?
      raise DescriptionError, "a worker needs at least one function: handle" if @functions.empty?

      {
        kind: @kind, versions: @versions, tags: @tags, roles: @roles, slots: @slots,
        functions: @functions.values.map(&:description)
      }
    end

    # Calls `"kind.function"` in the cluster and returns the value. See `Caller`, which has more to
    # choose.
    def call(target, *arguments, **named)
      kind, dot, function = target.to_s.partition(".")
      raise ArgumentError, "expected \"kind.function\", not #{target.inspect}" if dot.empty?

      caller_of(kind).call(function, *arguments, **named)
    end

    # A `Caller` of the workers with these details.
    #
    # `timeout`, in seconds, can only shorten the running call's own; `class`, high, normal or low,
    # can only lower its class; calls of one `key` go to the same version; `idempotent`: it does no
    # harm to run these calls twice. Raises `ArgumentError` for anything else.
    def caller_of(kind, versions: {}, tags: [], roles: [], timeout: nil, key: nil, class: nil,
                  idempotent: nil)
      priority_class = binding.local_variable_get(:class)
      Caller.new(self, { details: Options.details(kind, versions, tags, roles),
                         **Options.header(timeout, key, priority_class, idempotent) })
    end

    # The running call's public id, the one in the manager's logs; nil outside.
    def call_id
      running&.header&.fetch("call", nil)
    end

    # The key of the running call; nil if it has none, and outside.
    def call_key
      running&.header&.fetch("key", nil)
    end

    # "high", "normal" or "low", as the running call is; nil outside.
    def call_class
      running&.header&.fetch("class", nil)
    end

    # Seconds until the running call's deadline, 0 after it; infinite outside.
    def remaining
      call = running
      call ? [0.0, call.deadline - Session.now].max : Float::INFINITY
    end

    # Whether the running call was cancelled. Cheap enough for a loop.
    def cancelled?
      call = running
      !call.nil? && @session.cancelled?(call)
    end

    # Raises `Cancelled` if the running call was cancelled.
    def check_cancelled
      call = running
      raise Cancelled, call.cancelled if call && @session.cancelled?(call)
    end

    # What the running call's function reads while it comes, an `Input`: empty unless the function
    # is declared with `input: true` and the caller sends something; nil outside.
    def input
      call = running
      @session.input(call) if call
    end

    # Makes a nested call for `Caller`.
    def ask(header, payload)
      call = running
      raise "the cluster can be called only while a call runs" if call.nil?

      @session.ask(call, header, payload)
    end

    private

    def running
      @session&.running
    end

    # The block as a method of this worker: `return` works in it, and its arguments are checked.
    def body(name, block)
      method = :"handle #{name}"
      define_singleton_method(method, &block)
      method(method)
    end
  end

  # Calls functions of workers with certain details; made by `Worker#caller_of`.
  #
  #     parse = caller_of("parse", versions: { grammar: "5.12.0" }, timeout: 0.5)
  #     tree = parse.call("linkage", text: "a sentence")
  #
  # Arguments are given by name, by position, or as one `Payload`. The value of a function that
  # streams is the array of its pieces. Raises `CallError`.
  class Caller
    def initialize(worker, header)
      @worker = worker
      @header = header
    end

    def call(function, *arguments, **named)
      unless function.is_a?(String) || function.is_a?(Symbol)
        raise ArgumentError, "expected a function's name, not #{function.inspect}"
      end
      unless arguments.empty? || named.empty?
        raise ArgumentError, "arguments go either by position or by name"
      end

      given = arguments.empty? ? named : arguments
      given = arguments.first if arguments.size == 1 && arguments.first.is_a?(Payload)
      payload, content_type = Values.encode(given)
      header = { **@header, function: function }
      header[:content_type] = content_type if content_type
      @worker.ask(header, payload)
    end
  end
end
