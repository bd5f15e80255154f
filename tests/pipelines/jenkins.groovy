/*
 * Runs Jenkinsfiles with Jenkins' steps written down instead of done, and prints each as a line: Groovy's own parser reads the files, and
 * what they would run can be compared.
 *
 *   java -cp groovy.jar groovy.ui.GroovyMain tests/pipelines/jenkins.groovy FILE:BRANCH:SHIPPED:TESTED …
 *
 * SHIPPED and TESTED are what tools/affected answers: yes or no. Each run begins with a line `run`, and ends with `end` or with `failed` and
 * why.
 */
import org.codehaus.groovy.control.CompilerConfiguration

abstract class Steps extends Script {
    static final List<String> TAKES_BLOCK = ['node', 'stage', 'timeout', 'withEnv', 'withCredentials', 'lock']
    static final List<String> GIVES_BINDING = ['usernamePassword', 'file', 'string']
    static Map<String, String> answers = [:]
    static Map env = [:]
    static Object scm = 'scm'
    static GroovyShell shell

    def getEnv() { env }

    def getScm() { scm }

    def load(String path) { tell('load', path); shell.parse(new File(path)).run() }

    def sh(String command) { tell('sh', command) }

    def sh(Map given) {
        tell('sh', given.script)
        assert given.returnStdout
        answers[given.script.contains('TEST=1') ? 'tested' : 'shipped'] + '\n'
    }

    def checkout(what) { tell('checkout', "${what}") }

    def echo(String words) { tell('echo', words) }

    /** Any other step that Jenkins has; one that it has not is a mistake of the file. */
    def methodMissing(String name, given) {
        Object[] all = given as Object[]
        if (name in GIVES_BINDING) {
            return "${name} ${all[0].credentialsId}"
        }
        if (!(name in TAKES_BLOCK) || !(all[-1] instanceof Closure)) {
            throw new MissingMethodException(name, Steps, all)
        }
        tell(name, all.length > 1 ? "${all[0]}" : '')
        all[-1].call()
        tell("end of ${name}", '')
    }

    static void tell(String what, String words) { println("${what}\t${words}") }
}

for (given in args) {
    def (file, branch, shipped, tested) = given.split(':')
    Steps.tell('run', given)
    Steps.answers = [shipped: shipped, tested: tested]
    Steps.env = branch.startsWith('PR-') ? [BRANCH_NAME: branch, CHANGE_TARGET: 'main'] : [BRANCH_NAME: branch]
    Steps.shell = new GroovyShell(this.class.classLoader, new Binding(), new CompilerConfiguration(scriptBaseClass: Steps.name))
    try {
        Steps.shell.parse(new File(file)).run()
        Steps.tell('end', '')
    } catch (Throwable problem) {
        Steps.tell('failed', problem.toString().readLines().join(' '))
    }
}
