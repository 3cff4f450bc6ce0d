import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidRegularExpression;
import org.apache.kafka.common.errors.UnreleasedInstanceIdException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * What members of the consumer protocol (KIP-848) can say of themselves besides names of topics: expressions, a name that they keep, a rack.
 *
 * <p>{@code Subscriptions HOST:PORT PREFIX}: names of topics and groups begin with PREFIX. Ends with an exception where something is not as it should be.
 */
public final class Subscriptions {
    private static final long WITHIN_MS = 30_000;

    private final String address;
    private final String prefix;

    private Subscriptions(String address, String prefix) {
        this.address = address;
        this.prefix = prefix;
    }

    public static void main(String[] words) throws Exception {
        var it = new Subscriptions(words[0], words[1]);
        try (var admin = Admin.create(Map.of("bootstrap.servers", words[0]))) {
            it.expressions(admin);
            it.staticMembers(admin);
        }
    }

    /** Whoever wants topics by an expression gets those that are there, those that come, and more partitions; and is told what is none. */
    private void expressions(Admin admin) throws Exception {
        create(admin, "re-a", 2);
        create(admin, "other", 1);
        try (var consumer = consumer("expressions")) {
            consumer.subscribe(new SubscriptionPattern(prefix + "re-.*"));
            await(2, consumer);
            create(admin, "re-b", 3);
            await(5, consumer);
            admin.createPartitions(Map.of(prefix + "re-a", NewPartitions.increaseTo(4))).all().get();
            await(7, consumer);
            consumer.unsubscribe();
            consumer.subscribe(List.of(prefix + "other"));
            await(1, consumer);
            consumer.unsubscribe();
            consumer.subscribe(new SubscriptionPattern("((("));
            expect(InvalidRegularExpression.class, consumer);
        }
    }

    /** Whoever comes back by its name has what it had, which nobody else got; nobody else has the name; an operator removes it by the name. */
    private void staticMembers(Admin admin) throws Exception {
        try (var two = consumer("static", "group.instance.id", "two")) {
            two.subscribe(List.of(prefix + "re-a"));
            Set<TopicPartition> had;
            try (var one = consumer("static", "group.instance.id", "one", "client.rack", "x")) {
                one.subscribe(List.of(prefix + "re-a"));
                await(2, one, two);
                had = new HashSet<>(one.assignment());
            }
            await(2, two);
            try (var one = consumer("static", "group.instance.id", "one", "client.rack", "x");
                    var twin = consumer("static", "group.instance.id", "one")) {
                one.subscribe(List.of(prefix + "re-a"));
                await(2, one, two);
                if (!one.assignment().equals(had)) throw new IllegalStateException(one.assignment() + ", and before it had " + had);
                twin.subscribe(List.of(prefix + "re-a"));
                expect(UnreleasedInstanceIdException.class, twin);
                // It keeps its name and its partitions; one that lives would come back by itself when it is removed.
                two.close();
                var gone = new RemoveMembersFromConsumerGroupOptions(List.of(new MemberToRemove("two")));
                admin.removeMembersFromConsumerGroup(prefix + "static", gone).all().get();
                long removed = System.currentTimeMillis();
                await(4, one);
                // Its session would end later.
                long took = System.currentTimeMillis() - removed;
                if (3_000 < took) throw new IllegalStateException(took + " ms after a member was removed");
            }
        }
    }

    private void create(Admin admin, String topic, int partitions) throws Exception {
        admin.createTopics(List.of(new NewTopic(prefix + topic, partitions, (short) 1))).all().get();
    }

    private KafkaConsumer<byte[], byte[]> consumer(String group, String... more) {
        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", address, "group.id", prefix + group, "group.protocol", "consumer",
                "enable.auto.commit", "false", "metadata.max.age.ms", "1000"));
        for (int at = 0; at < more.length; at += 2) settings.put(more[at], more[at + 1]);
        return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    /** Until each has so many partitions. */
    @SafeVarargs
    private static void await(int each, KafkaConsumer<byte[], byte[]>... consumers) {
        long until = System.currentTimeMillis() + WITHIN_MS;
        while (!Arrays.stream(consumers).allMatch(it -> it.assignment().size() == each)) {
            for (var consumer : consumers) consumer.poll(Duration.ofMillis(20));
            if (until < System.currentTimeMillis()) {
                var have = Arrays.stream(consumers).map(it -> it.assignment().toString()).collect(Collectors.joining(" and "));
                throw new IllegalStateException("not " + each + " partitions each within " + WITHIN_MS + " ms, but " + have);
            }
        }
    }

    private static void expect(Class<? extends Exception> refusal, KafkaConsumer<byte[], byte[]> consumer) {
        long until = System.currentTimeMillis() + WITHIN_MS;
        try {
            while (System.currentTimeMillis() < until) consumer.poll(Duration.ofMillis(20));
        } catch (Exception refused) {
            if (refusal.isInstance(refused)) return;
            throw refused;
        }
        throw new IllegalStateException("no " + refusal.getSimpleName());
    }
}
